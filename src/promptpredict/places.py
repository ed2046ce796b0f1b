"""Where a table lies: on this machine, or in a filesystem that pyarrow reaches (s3://, gs://, hdfs://).

Knows paths, URLs and streams; knows nothing of formats.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, BinaryIO

from promptpredict.errors import DataError


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL, which must not become a Path: that would take a slash from it."""
    return "://" in str(path)


def opened(path: str | Path, *, packed: bool = False) -> BinaryIO:
    """Open a file for reading, its content unpacked if it is ``packed`` by gzip.

    Raises OSError where that cannot be done, DataError for a URL of no filesystem.
    """
    if not is_url(path):
        opener: Any = gzip.open if packed else open
        local: BinaryIO = opener(path, "rb")
        return local
    system, place = _found(str(path))
    stream: Any = system.open_input_file(place)
    return gzip.open(stream, "rb") if packed else stream  # type: ignore[no-any-return]


def known(path: str | Path) -> tuple[int, int] | None:
    """Return a file's size and time of change in nanoseconds; None where there is no file."""
    if not is_url(path):
        if not Path(path).is_file():
            return None
        status = Path(path).stat()
        return status.st_size, status.st_mtime_ns
    system, place = _found(str(path))
    info = system.get_file_info(place)
    return (info.size, info.mtime_ns or 0) if info.is_file else None


def _found(url: str) -> tuple[Any, str]:
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, place = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{url} is in no filesystem that can be read ({error})") from None
    return system, place
