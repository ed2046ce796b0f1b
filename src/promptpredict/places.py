"""Where a table lies: on this machine, or in a filesystem that pyarrow reaches (s3://, gs://, hdfs://).

Knows paths, URLs, streams and what lies in a folder; knows nothing of formats.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

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

    def has_changed(self) -> bool:
        """Whether the file that is there now is another than was listed; not of one that is gone."""
        now = _part(self.system.get_file_info(self.path), self.name, self.system)
        return bool(now.size or now.changed) and now != self


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


def local(path: str | Path) -> Path:
    """Return the path of a file of this machine that may be named by a URL."""
    name = str(path)
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)


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
    writer keeps for itself, such as ``_SUCCESS``. Raises DataError for a Delta table.
    """
    from pyarrow import fs

    # Absolute, as pyarrow takes a relative name with a colon for a URL.
    here = (fs.LocalFileSystem(), os.path.abspath(path))
    system, place = _found(str(path)) if is_url(path) else here
    if not is_folder(path):
        return [_part(system.get_file_info(place), "", system)]
    if is_url(path):
        inside = system.get_file_info(fs.FileSelector(place, recursive=True))
    else:
        inside = system.get_file_info(_inside(str(path), place))
    kinds = fs.FileType.File, fs.FileType.NotFound
    files = [each for each in inside if each.type in kinds]
    named = {each.path.removeprefix(place).lstrip("/"): each for each in files}
    if any(name.startswith("_delta_log/") for name in named):
        raise DataError(
            f"{path} is a Delta table, whose files hold deleted rows as well; possible: its rows as "
            "they are now, written as Parquet"
        )
    return [_part(named[name], name, system) for name in sorted(named) if not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it lies in, is the writer's own; ``_year=2026`` is a column."""
    parts = name.split("/")
    return any(each[:1] == "." or (each[:1] == "_" and "=" not in each) for each in parts)


def _inside(path: str, place: str) -> list[str]:
    """Return the files in a folder, links that lead nowhere too, which pyarrow would leave out.

    Raises DataError for a link to a folder, behind which rows may stand that stand elsewhere as well.
    """
    found = []
    for at, folders, files in os.walk(place):
        for each in folders:
            name = os.path.relpath(os.path.join(at, each), place)
            if os.path.islink(os.path.join(at, each)) and not _is_hidden(name):
                raise DataError(
                    f"{path} holds a link to a folder, {name}; possible: the folder itself"
                )
        found += [os.path.join(at, each) for each in files]
    return found


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
