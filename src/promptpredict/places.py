"""Where a table lies: on this machine, or in a filesystem that pyarrow reaches (s3://, gs://, hdfs://).

Knows paths, URLs, streams and what lies in a folder; knows nothing of formats.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from promptpredict.errors import DataError


@dataclass(frozen=True)
class Part:
    """A file with rows of a table, in a filesystem of pyarrow.

    ``name`` is its path below the table's folder, empty where it is the whole table.
    """

    name: str
    size: int  # bytes
    changed: int  # nanoseconds
    system: Any
    path: str


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


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder at a path."""
    if not is_url(path):
        return Path(path).is_dir()
    from pyarrow import fs

    system, place = _found(str(path))
    return bool(system.get_file_info(place).type == fs.FileType.Directory)


def parts_of(path: str | Path) -> list[Part]:
    """Return the file at a path, or the files of a folder and its folders, by name.

    Those that begin with ``_`` or ``.``, or lie in such a folder, are left out: they are what the
    writer keeps for itself, such as ``_SUCCESS``.
    """
    from pyarrow import fs

    system, place = _found(str(path)) if is_url(path) else (fs.LocalFileSystem(), str(path))
    if not is_folder(path):
        return [_part(system.get_file_info(place), "", system)]
    if is_url(path):
        inside = system.get_file_info(fs.FileSelector(place, recursive=True))
    else:
        # A link that leads nowhere is a part all the same, and pyarrow would leave it out.
        walk = os.walk(place, followlinks=True)
        inside = system.get_file_info(
            [os.path.join(at, each) for at, _, own in walk for each in own]
        )
    kinds = fs.FileType.File, fs.FileType.NotFound
    files = [each for each in inside if each.type in kinds]
    named = {each.path.removeprefix(place).lstrip("/"): each for each in files}
    return [
        _part(named[name], name, system)
        for name in sorted(named)
        if not any(each.startswith(("_", ".")) for each in name.split("/"))
    ]


def _part(info: Any, name: str, system: Any) -> Part:
    return Part(name, info.size or 0, info.mtime_ns or 0, system, info.path)


def _found(url: str) -> tuple[Any, str]:
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, place = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{url} is in no filesystem that can be read ({error})") from None
    return system, place
