# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Paths and files that can't be used end a command at once, with exit code 2 and a message that names them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vcompare_runner.edges import expanded, require_file
from vcompare_runner.errors import UsageError

LONG = "a" * 300


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vcompare_runner", *arguments],
        env={**os.environ, "VCOMPARE_HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
        # One that waits for a pipe or reads a device never ends.
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("compare", "--dry-run"), {"VCOMPARE_HOME": "~nosuchuser/x"}, "VCOMPARE_HOME"),
        (("runs",), {"VCOMPARE_HOME": f"/tmp/{LONG}"}, LONG),
        (("compare", "--profile", "smoke"), {"VCOMPARE_HOME": f"/tmp/{LONG}"}, LONG),
        (("report", "~nosuchuser/x"), {}, "~nosuchuser"),
        (("report", LONG), {}, LONG),
        (("compare", "--dry-run", "--claims", "/dev/zero"), {}, "/dev/zero"),
        (("compare", "--dry-run", "--claims", "FIFO"), {}, "fifo"),
        (("compare", "--dry-run", "--claims", f"/tmp/{LONG}.yml"), {}, LONG),
        (("lab", "rebuild", "--lock", "FIFO"), {}, "--lock"),
        (("lab", "rebuild", "--lock", "~nosuchuser/lab.lock"), {}, "--lock"),
        (("lab", "lock", "--output", "~nosuchuser/lab.lock"), {}, "--output"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    fifo = tmp_path / "fifo.yml"
    os.mkfifo(fifo)
    words = [str(fifo) if word == "FIFO" else word for word in arguments]
    done = run(tmp_path, *words, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert named in done.stderr
    assert "remedy:" in done.stderr
    assert "internal error" not in done.stderr


def test_claims_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yml"
    deep.write_text("[" * 50_000)
    done = run(tmp_path, "compare", "--dry-run", "--claims", str(deep))
    assert done.returncode == 2, done.stderr
    assert "deep.yml" in done.stderr


def test_only_a_regular_file_of_a_sensible_size_is_read(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_text("x")
    assert require_file("--lock", good) == good
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(2**30)
    for path in (large, tmp_path, tmp_path / "missing", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(UsageError, match="--lock"):
            require_file("--lock", path)


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("--lock", Path("~/x")) == Path("/somewhere/x")
