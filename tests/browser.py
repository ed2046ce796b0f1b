"""A headless Chromium driven over a pipe by its own protocol: nothing to install beside it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT = 60  # seconds for one answer: a loaded machine is slow, a hanging one is a failure


def find():
    """Return the path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one Chromium; its errors and requests are kept as it shows files."""

    def __init__(self, chromium, profile):
        told, tell = os.pipe()
        hear, heard = os.pipe()
        # The protocol's pipe is file 3 for what the browser is told and 4 for what it answers;
        # from 10 on, the two ends cannot be in each other's way.
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (told, heard)]
        line = 'exec "$0" "$@" 3<&{} 4>&{}'.format(*given)
        self._process = subprocess.Popen(
            ["bash", "-c", line, chromium, *SWITCHES, f"--user-data-dir={profile}"],
            pass_fds=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (told, heard, *given):
            os.close(end)
        self._tell, self._hear, self._rest, self._number = tell, hear, b"", 0
        self._session = None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self):
        os.close(self._tell)
        os.close(self._hear)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, path, *, width, height=900, dark=False, media="screen"):
        """Show a file at a width in CSS pixels; what happens from here on is in ``events``."""
        self.events = []
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: any(e["method"] == "Page.loadEventFired" for e in self.events))

    def run(self, script):
        """Return the value of a JavaScript expression on the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self):
        """Return the whole page as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def pdf(self):
        """Return the page as it prints on A4."""
        self.ask("Emulation.setEmulatedMedia", media="", features=[])
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        return base64.b64decode(self.ask("Page.printToPDF", **paper)["data"])

    def complaints(self):
        """Return what the console has as warning or error since the page was opened."""
        found = []
        for event in self.events:
            method, told = event["method"], event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(told["exceptionDetails"]["text"])
            if method == "Log.entryAdded" and told["entry"]["level"] in ("warning", "error"):
                found.append(told["entry"]["text"])
            if method == "Runtime.consoleAPICalled" and told["type"] in ("warning", "error"):
                found.append(str(told["args"]))
        return found

    def requests(self):
        """Return the addresses asked for since the page was opened."""
        sent = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def ask(self, method, **params):
        """Send one command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._tell, json.dumps(message).encode() + b"\0")
        answers = []

        def answered():
            answers[:] = [event for event in self.events if event.get("id") == message["id"]]
            return answers

        self._until(answered)
        self.events.remove(answers[0])
        assert "error" not in answers[0], answers[0]["error"]
        return answers[0]["result"]

    def _until(self, done):
        end = time.monotonic() + TIMEOUT
        while not done():
            ready, _, _ = select.select([self._hear], [], [], max(0, end - time.monotonic()))
            assert ready, f"Chromium did not answer in {TIMEOUT} s"
            read = os.read(self._hear, 1 << 20)
            assert read, "Chromium ended"
            *whole, self._rest = (self._rest + read).split(b"\0")
            self.events += [{"method": "", **json.loads(message)} for message in whole]
