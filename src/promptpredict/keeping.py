"""Prompts that are kept because somebody asked for it, in plain text or encrypted.

Knows prompts and files; knows nothing of models or scores. Without `--keep-prompts` no prompt is
written anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptpredict.errors import DataError
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.writing import prompts_of, whole, writable

Seal = Callable[[str], str]
Keep = Callable[[Sequence[Record], Mapping[int, Sequence[Prompt]]], None]


def read_key(path: str) -> Seal:
    """Return what encrypts a line with the Fernet key that a file holds.

    Raises DataError for a file that cannot be read or holds no key, and where cryptography is not
    installed.
    """
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        raise DataError(
            "--encrypt-key-file needs cryptography, which is not installed; possible: "
            "pip install 'promptpredict[private]'"
        ) from None
    try:
        fernet = Fernet(Path(path).read_bytes().strip())
    except OSError as error:
        raise DataError(f"--encrypt-key-file {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise DataError(
            f"--encrypt-key-file {path} holds no Fernet key, which is 32 bytes in URL-safe base64; "
            "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' "
            "writes one"
        ) from None
    return lambda text: fernet.encrypt(text.encode()).decode()


@contextmanager
def kept_prompts(out: str, seal: Seal | None) -> Iterator[Keep]:
    """Give what keeps the prompts of records beside an output, one JSON object a line.

    A line has row and id, and of each prompt file system, shots, user and answer (of several sets
    of shots one set after another); with ``seal`` it
    is encrypted as a whole. The file appears when the last one is written. Raises DataError where
    it cannot be written.
    """
    path = prompts_of(out)
    with (
        writable(str(path)),
        whole(path) as draft,
        draft.open("w", encoding="utf-8", newline="") as file,
    ):

        def keep(records: Sequence[Record], prompts: Mapping[int, Sequence[Prompt]]) -> None:
            for index, each in prompts.items():
                line = json.dumps(_line(records[index], each), ensure_ascii=False)
                file.write(f"{seal(line) if seal else line}\n")

        yield keep


def _line(record: Record, prompts: Sequence[Prompt]) -> dict[str, Any]:
    said = [
        {
            "system": prompt.system,
            "shots": [asdict(shot) for shot in prompt.shots],
            "user": prompt.user,
            "answer": prompt.answer,
        }
        for prompt in prompts
    ]
    return {"row": record.row, "id": record.id, "prompts": said}
