# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The one way in which files, numbers and paths of users are read, and files are written for them.

Reading ends with ``OSError``, whose ``filename`` and ``strerror`` say what is wrong, or ``ValueError``. Nothing hangs:
a pipe or a device may never end, so only regular files of a sensible size are opened.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import json
import math
import os
import stat
import typing as t
from pathlib import Path

import pydantic
import yaml

from vcompare_runner.core.errors import UsageError, VcompareError

# Larger than any catalogue, lock or manifest that makes sense; samples are read line by line.
_MOST_BYTES = 64 * 2**20
MOST_LINES_BYTES = 16 * 2**30
_MOST_LINE_BYTES = 4 * 2**20

# No time, size or rate that is measured lies outside; their ratios and squares still are numbers to every tool.
LEAST_NUMBER, MOST_NUMBER = 1e-18, 1e18
HOME_REMEDY = "make room or give permission there, or name another home with VCOMPARE_HOME"
WRITE_REMEDY = "make room or give permission there, or name another folder with --output"
# Fits into a signed 64-bit integer, and a JSON reader keeps it exactly.
MOST_WHOLE = 2**53 - 1
# More than anyone measures: what is done for each of them still ends.
MOST_BLOCKS = 1_000_000


def expanded(option: str, path: Path) -> Path:
    """Return an absolute path, with a user's home in place of ``~``.

    :param option: where it was given, for messages.
    :raises UsageError: there is no such user.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise UsageError(
            f"{option}: {path}: there is no user of that name, or no home folder",
            "give the full path",
        ) from None


def require_file(option: str, path: Path) -> Path:
    """Return the path of a file that can be read to its end.

    :raises UsageError: it is missing, is not a regular file (a pipe or device may never end), or is too large.
    """
    try:
        open_file(path).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{option}: {path} can't be read: {why}", "name a file") from None
    return path


def is_there(path: Path) -> bool:
    """Say whether there is anything of that name, also a link that leads nowhere: what is there must be readable."""
    return os.path.lexists(path)


def open_file(path: Path, most_bytes: int = _MOST_BYTES) -> io.BufferedReader:
    """Open a regular file for reading.

    :raises OSError: it can't be opened, is not a regular file, or is too large.
    """
    _check_regular(path, os.stat(path), most_bytes)
    # The file may be another one by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check_regular(path, os.fstat(descriptor), most_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if found.st_size > most_bytes:
        text = f"it has {found.st_size >> 20} MiB, and {most_bytes >> 20} MiB are the most"
        raise OSError(errno.EFBIG, text, str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    :raises OSError: as ``open_file``.
    """
    with open_file(path) as file:
        return file.read(_MOST_BYTES)


def read_text(path: Path) -> str:
    """Return the text of a regular file.

    :raises OSError: as ``open_file``.
    :raises ValueError: it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8")


@contextlib.contextmanager
def open_lines(path: Path) -> t.Iterator[t.Iterator[bytes]]:
    """Open a file of lines, each with its end; an absent file has none.

    :raises OSError: as ``open_file``, or a line is longer than any that makes sense.
    """
    if not is_there(path):
        yield iter(())
        return
    with open_file(path, MOST_LINES_BYTES) as file:
        short = os.fstat(file.fileno()).st_size <= _MOST_LINE_BYTES
        yield file if short else _checked_lines(path, file)


def _checked_lines(path: Path, file: t.BinaryIO) -> t.Iterator[bytes]:
    read = functools.partial(file.readline, _MOST_LINE_BYTES)
    for number, line in enumerate(iter(read, b""), start=1):
        if len(line) == _MOST_LINE_BYTES:
            text = f"line {number} is longer than {_MOST_LINE_BYTES >> 20} MiB"
            raise OSError(errno.EFBIG, text, str(path))
        yield line


def files_of(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a folder whose names end so; an absent folder has none.

    :raises OSError: the folder can't be read.
    """
    if not is_there(folder):
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(suffix)]


def parse_json(text: str | bytes) -> t.Any:
    """Parse JSON. NaN and infinity, which JSON has not, are left to whoever judges numbers.

    :raises ValueError: it is not JSON, not UTF-8, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> t.Any:
    """Return the content of a YAML file.

    :raises OSError: as ``open_file``.
    :raises ValueError: it is not YAML, not UTF-8, or nested too deeply.
    """
    try:
        return yaml.load(read_text(path), Loader=loader)  # noqa: S506 - is safe
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def is_plausible(value: float) -> bool:
    """Say whether a number can be a measured or a configured one: finite, and neither huge nor tiny; zero can."""
    # Without a conversion: an integer may be larger than any float.
    size = abs(value)
    return size == 0 or LEAST_NUMBER <= size <= MOST_NUMBER


def shown_number(value: float) -> str:
    """Render a number for a message, however long it is."""
    if isinstance(value, int) and abs(value) > MOST_NUMBER:
        return f"a number of {math.floor(math.log10(abs(value))) + 1} digits"
    return str(value)


def _checked_number(value: float) -> float:
    if not is_plausible(value):
        raise ValueError("nothing that is measured or set has such a value")
    return value


# Fields of what is read.
Number = t.Annotated[float, pydantic.AfterValidator(_checked_number)]
Integer = t.Annotated[int, pydantic.Field(ge=-MOST_WHOLE, le=MOST_WHOLE)]
Whole = t.Annotated[int, pydantic.Field(ge=0, le=MOST_WHOLE)]
Block = t.Annotated[int, pydantic.Field(ge=0, le=MOST_BLOCKS)]


def require_whole(option: str, value: int, least: int, most: int = MOST_WHOLE) -> int:
    """Return a whole number of an option.

    :raises UsageError: it is not within its bounds.
    """
    if least <= value <= most:
        return value
    raise UsageError(
        f"{option}: {shown_number(value)} can't be used", f"name a number from {least} to {most}"
    )


def require_writable(option: str, path: Path) -> Path:
    """Return the absolute path of a file that can be written, whether it is there or not.

    :raises UsageError: it can't, or what is there is not a regular file; nothing was made.
    """
    target = expanded(option, path)
    folder = target.parent
    if target.is_dir():
        why = "it is a folder"
    elif is_there(target) and not target.is_file():
        why = "it is not a regular file"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"no permission in {folder}"
    else:
        return target
    raise UsageError(
        f"{option}: {target} can't be written: {why}", "name a file in a folder that you can write"
    )


@contextlib.contextmanager
def replacing(path: Path, remedy: str) -> t.Iterator[t.TextIO]:
    """Write a text file as a whole or not at all: what is there stays until the new one is on the disk.

    :raises VcompareError: it can't be written; nothing is left of it.
    """
    if is_there(path) and not path.is_file():
        # A folder, a device, or a link that leads nowhere: not ours to replace.
        raise VcompareError(f"{path} can't be written: it is not a regular file", remedy)
    # What a link leads to is written, and the link stays.
    path = path.resolve()
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise VcompareError(f"{path} can't be written: {error.strerror}", remedy) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
