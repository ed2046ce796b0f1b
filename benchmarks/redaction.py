"""Prints how much personal data `--redact` finds in texts that are made up, by kind.

    python benchmarks/redaction.py [--texts 2000]

The texts are those of the tests (tests/personal.py). Recall is the share of what was planted that a
placeholder covers whole; precision the share of what was replaced that was planted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from personal import measure, texts
from promptpredict.redaction import Redactor


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=2000)
    options = parser.parse_args()
    redactor = Redactor()
    redactor("warm")
    recall, precision = measure(redactor, options.texts)
    print("| kind | planted | recall | replaced | precision |\n| --- | --- | --- | --- | --- |")
    for kind in sorted(recall | precision):
        cells = [kind]
        for right, of in (recall.get(kind, (0, 0)), precision.get(kind, (0, 0))):
            cells += [f"{of:,}", f"{right / of:.3f}" if of else ""]
        print(f"| {' | '.join(cells)} |")
    some = [planted.text for planted in texts(options.texts, seed=1)]
    begun = time.perf_counter()
    for text in some:
        redactor(text)
    took = time.perf_counter() - begun
    size = sum(map(len, some)) / len(some)
    print(f"{len(some) / took:,.0f} texts of {size:.0f} characters a second, one core")


if __name__ == "__main__":
    main()
