# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What can be wrong with files and numbers, and a call of the command line that is over in time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import typing as t
from pathlib import Path
from unittest import mock

from vcompare_runner.bundle.integrity import MANIFEST_LATER, canonical
from vcompare_runner.cli import app as cli

# Long, for a machine that is busy with other things: a pipe or a device that is read never ends.
LIMIT_S = 300

DEEP = "[" * 50_000


@dataclasses.dataclass(frozen=True)
class Called:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def is_an_error_for_people(self) -> bool:
        """Say whether it ended with an error of ours, or with success."""
        said = self.out + self.err
        return "internal error" not in said and "Traceback" not in said


def call(*arguments: str, **environment: str) -> Called:
    """Call ``vcompare`` in this process."""

    def too_long(*_arguments: object) -> t.NoReturn:
        raise AssertionError(f"vcompare {arguments} is not over after {LIMIT_S} s")

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_S)
    try:
        with (
            mock.patch.dict(os.environ, environment),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.main(list(arguments))
            except SystemExit as ended:
                code = ended.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert isinstance(code, int)
    return Called(code, out.getvalue(), err.getvalue())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _folder(path: Path) -> None:
    _remove(path)
    path.mkdir()


def _fifo(path: Path) -> None:
    _remove(path)
    os.mkfifo(path)


def _link(to: str) -> t.Callable[[Path], None]:
    def replace(path: Path) -> None:
        _remove(path)
        path.symlink_to(path.name if to == "itself" else to)

    return replace


def _content(data: bytes) -> t.Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.write_bytes(data)

    return replace


def _long(size: int) -> t.Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.write_bytes(b'{"run": "')
        # Takes no room on the disk.
        os.truncate(path, size)

    return replace


# Kind → replaces a file by what can't be read.
KINDS: dict[str, t.Callable[[Path], None]] = {
    "a folder": _folder,
    "a pipe": _fifo,
    "a device": _link("/dev/zero"),
    "a link to itself": _link("itself"),
    "a link that leads nowhere": _link("/nonexistent/x"),
    "no JSON": _content(b"no json\n"),
    "not UTF-8": _content(b'{"run": "\xff\xfe"}\n'),
    "nested deeply": _content(DEEP.encode() + b"\n"),
    "a list": _content(b"[1, 2]\n"),
    "one line of 100 MiB": _long(100 * 2**20),
    "20 GiB": _long(20 * 2**30),
}

# What stands in place of a value.
VALUES: tuple[t.Any, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    -(10**400),
    0.0,
    -0.0,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "x" * 5000,
    "\x1b[31m\u202e<script>",
    "../../../etc/passwd",
    "1e999",
    "\ud800",
    [],
    [[]],
    {},
    {"": None},
)

Path_ = tuple[str | int, ...]


def places(value: t.Any, at: Path_ = ()) -> t.Iterator[Path_]:
    """Name every place within a JSON value."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*at, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*at, number))


def put(value: t.Any, at: Path_, new: t.Any) -> None:
    """Set the value of a place; ``...`` removes it."""
    for part in at[:-1]:
        value = value[part]
    if new is ...:
        del value[at[-1]]
    else:
        value[at[-1]] = new


def chain_again(folder: Path) -> None:
    """Give the records the hashes that they would have, had they been written so.

    What is behind the checks is reached then.
    """
    manifest = json.loads((folder / "manifest.json").read_bytes())
    fixed = {key: each for key, each in manifest.items() if key not in MANIFEST_LATER}
    own = hashlib.sha256(canonical(fixed)).hexdigest()
    parts = [
        (folder / name).read_bytes().splitlines(keepends=True)
        for name in ("samples.jsonl", "proofs.jsonl")
    ]
    path, previous, lines = folder / "blocks.jsonl", str(manifest["run"]), []
    for text in path.read_bytes().splitlines():
        line = json.loads(text)
        chain = line["chain"]
        chain |= {"previous": previous, "manifest": own}
        digest = hashlib.sha256(previous.encode() + b"\n")
        for part, key in zip(parts, ("samples", "proofs"), strict=True):
            for piece in part[: chain[key]]:
                digest.update(piece)
            del part[: chain[key]]
        digest.update(canonical({key: each for key, each in line.items() if key != "sha256"}))
        line["sha256"] = previous = digest.hexdigest()
        lines.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if manifest.get("last_block_sha256"):
        manifest["last_block_sha256"] = previous
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def try_to_chain_again(folder: Path) -> None:
    """As ``chain_again``, where the records still can have hashes at all."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError, RecursionError):
        chain_again(folder)
