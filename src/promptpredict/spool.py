"""What a run has scored, on the disk until its calibration is known: memory does not grow with rows.

Knows temporary files; knows nothing of prompts, models or outputs. The files have no name: they
are gone when the run is, however it ends.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.errors import DataError
from promptpredict.records import Reject

_PART = 1 << 16  # numbers that are in memory at once


@dataclass
class Scored:
    """A block behind its scoring; index i is the block's record i.

    ``logprobs`` (n, k) are NaN where the language model did not score, ``mass`` (n,), both
    float32, ``truncated`` (n,); ``fallback`` are the probabilities that another approach gave.
    ``moved`` (n,) is how far the text alone moves the log-odds, None where nobody asked;
    ``by_set`` (n, sets, k) are the log-probabilities behind each of several sets of shots.
    """

    rows: list[int]
    ids: list[str]
    kept: list[dict[str, str | None]]
    rejects: list[Reject]
    logprobs: Any
    mass: Any
    truncated: Any
    faults: dict[int, str]
    fallback: dict[int, list[float]] = field(default_factory=dict)
    moved: Any = None
    by_set: Any = None


class Spool:
    """Scored blocks in a file without a name; they can be read again and again."""

    def __init__(self) -> None:
        """Open the file."""
        self._file = _open()

    def append(self, block: Scored) -> None:
        """Write a block behind the others."""
        with _written():
            pickle.dump(block, self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def __iter__(self) -> Iterator[Scored]:
        """Yield the blocks in their order."""
        _rewind(self._file)
        while True:
            try:
                yield pickle.load(self._file)
            except EOFError:
                return


class NumberFile:
    """Numbers of 8 bytes, of one type, in a file without a name, read in parts.

    With a ``width`` they are rows of so many numbers, and ``count`` counts rows.
    """

    def __init__(
        self, kind: type[np.float64] | type[np.uint64] = np.float64, *, width: int = 1
    ) -> None:
        """Open the file."""
        self._file = _open()
        self._kind = kind
        self._width = width
        self.count = 0

    def append(self, numbers: npt.NDArray[Any]) -> None:
        """Write numbers (n,), or rows of them (n, width), behind the others."""
        with _written():
            self._file.write(numbers.astype(self._kind).tobytes())
        self.count += len(numbers)

    def parts(self) -> Iterator[npt.NDArray[Any]]:
        """Yield all numbers, at most 65,536 at once."""
        _rewind(self._file)
        rows = max(1, _PART // self._width)
        while some := self._file.read(8 * rows * self._width):
            numbers = np.frombuffer(some, self._kind)
            yield numbers if self._width == 1 else numbers.reshape(-1, self._width)


def _open() -> Any:
    with _written():
        return tempfile.TemporaryFile()


def _rewind(file: Any) -> None:
    with _written():  # what waits in memory is written now
        file.flush()
        file.seek(0)


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"what was scored cannot be put aside in {tempfile.gettempdir()} ({error.strerror}); "
            "possible: another folder in TMPDIR"
        ) from None
