# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Where nothing can be written, or not as it is: closed and full streams, encodings, full disks, closed homes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
from checkout import Checkout
from synthetic import Synthetic

ROOT = Path(__file__).resolve().parents[3]
VCOMPARE = f"{sys.executable} -m vcompare_runner"
# A name that ASCII lacks, and one of bytes that are not UTF-8.
UMLAUT, BYTES = "hôst-größe", b"b\xe4d"


def shell(command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in bash."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, **environment},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def is_quiet(done: subprocess.CompletedProcess[str]) -> bool:
    """Say whether a command ended without a complaint of the interpreter's or an internal error."""
    said = done.stdout + done.stderr
    return not any(word in said for word in ("Traceback", "internal error", "Exception ignored"))


@pytest.fixture
def runs_home(tmp_path: Path) -> Path:
    """A home with a run."""
    Synthetic().write(tmp_path / "home" / "runs")
    return tmp_path / "home"


@pytest.mark.parametrize(
    "command", ["runs", "runs --json", "--help", "--version", "compare --help"]
)
@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("| head -c 1", 0),
        ("| true", 0),
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&- <&-", 0),
        ("2>/dev/full", 0),
        (">/dev/full", 1),
    ],
)
def test_output_that_no_one_takes_ends_no_command(
    runs_home: Path, command: str, where: str, code: int
) -> None:
    done = shell(f"{VCOMPARE} {command} {where}", VCOMPARE_HOME=str(runs_home))
    assert done.returncode == code, done.stderr
    assert is_quiet(done)
    if code:
        assert "standard output can't be written: No space left on device" in done.stderr
        assert "remedy:" in done.stderr


def test_an_error_keeps_its_exit_code_where_it_cannot_be_said(runs_home: Path) -> None:
    for where in ("2>&-", "2>/dev/full", "2>&1 | true", ">&- 2>&-"):
        done = shell(f"{VCOMPARE} report nosuchrun {where}", VCOMPARE_HOME=str(runs_home))
        assert done.returncode == 2, (where, done)


def test_a_file_does_not_take_the_place_of_a_closed_stream(runs_home: Path, tmp_path: Path) -> None:
    done = shell(
        f"{VCOMPARE} report latest --output {tmp_path / 'out'} >&- 2>&-",
        VCOMPARE_HOME=str(runs_home),
    )
    assert done.returncode == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["schema"] == 1
    for file in (tmp_path / "out").iterdir():
        assert "report: " not in file.read_text()


def test_a_run_goes_on_when_no_one_reads_what_it_says(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    source = Synthetic(blocks=2).write(tmp_path / "source")
    done = shell(
        f"{VCOMPARE} compare --blocks 2 2>&1 | head -n 1",
        cwd=tmp_path,
        **checkout.environment(home, TEST_SOURCE=str(source)),
    )
    assert done.returncode == 0, done
    (folder,) = (home / "runs").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["finished_at"]
    assert (folder / "report" / "index.html").exists()


ENCODINGS: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    # What Python would make of them by itself is not for every version and build.
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "latin-1": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    "missing": {"LC_ALL": "xx_YY.UTF-8"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_of_any_language_are_read_and_shown_in_every_locale(
    tmp_path: Path, encoding: str
) -> None:
    home = tmp_path / "home"
    bundle = Synthetic().write(home / "runs")
    for path in bundle.rglob("*.json*"):
        path.write_text(path.read_text().replace("lab-linux", UMLAUT))
    bundle.rename(bundle.with_name(UMLAUT))
    strange = os.fsencode(home / "runs") + b"/" + BYTES
    os.mkdir(strange)
    environment = {"VCOMPARE_HOME": str(home), **ENCODINGS[encoding]}
    for command in (
        "runs",
        "runs --json",
        "--help",
        f"report {UMLAUT} --output {tmp_path / UMLAUT}",
    ):
        done = shell(f"{VCOMPARE} {command}", **environment)
        assert done.returncode == 0, (command, done)
        assert is_quiet(done)
    assert UMLAUT in (tmp_path / UMLAUT / "report.md").read_text(encoding="utf-8")
    done = shell(f"{VCOMPARE} report $'b\\xe4d'", **environment)
    assert done.returncode == 2
    assert is_quiet(done)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_inventory_of_any_language_is_read_in_every_locale(
    tmp_path: Path, encoding: str
) -> None:
    inventory = tmp_path / f"{UMLAUT}.yml"
    hosts = f"{{{UMLAUT}: {{ansible_connection: local}}}}"
    inventory.write_text(f"all: {{children: {{bare_hosts: {{hosts: {hosts}}}}}}}\n")
    done = shell(
        f"{VCOMPARE} compare --dry-run --arms bare -i {inventory}",
        VCOMPARE_HOME=str(tmp_path / "home"),
        **ENCODINGS[encoding],
    )
    # Whether this machine may carry a run is not asked here: its plan was made to the end.
    assert done.returncode in (0, 2), done
    assert is_quiet(done)
    assert "nothing was changed on any server" in done.stdout


def test_an_encoding_that_an_option_asks_for_does_not_start_it_for_ever() -> None:
    command = VCOMPARE.replace(" -m", " -X utf8=0 -m")
    done = shell(f"{command} --version", LC_ALL="C", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done
    assert done.stdout.startswith("vcompare")


def in_namespace(mounts: str, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command where mounts of our own are seen by it alone."""
    user = "" if os.geteuid() == 0 else "--map-root-user"
    script = f"{mounts} && {command}"
    return shell(f'unshare {user} --mount bash -c "$SCRIPT"', SCRIPT=script, **environment)


def test_a_report_that_has_no_room_leaves_the_old_one(runs_home: Path, tmp_path: Path) -> None:
    bundle = next((runs_home / "runs").iterdir())
    out = tmp_path / "out"
    out.mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o size=24k none {out} && echo old > {out}/report.json && echo old > {out}/index.html",
        f"{{ {VCOMPARE} report {bundle} --output {out}; code=$?; cat {out}/*; ls -A {out}; exit $code; }}",
    )
    assert done.returncode == 1, done
    assert is_quiet(done)
    assert f"{out}/report.json can't be written: No space left on device" in done.stderr
    assert "remedy: make room" in done.stderr
    assert done.stdout.split() == ["old", "old", "index.html", "report.json"]


def test_a_home_without_room_is_an_error_before_ansible_runs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[bare_hosts]\nlocalhost ansible_connection=local\n")
    done = in_namespace(
        f"mount -t tmpfs -o size=4k,nr_inodes=20 none {home} && "
        f"{{ head -c 8192 /dev/zero > {home}/fill 2>/dev/null || true; }}",
        f"{VCOMPARE} compare --arms bare -i {inventory}",
        VCOMPARE_HOME=str(home),
    )
    assert done.returncode == 1, done
    assert is_quiet(done)
    assert "No space left on device" in done.stderr
    assert "VCOMPARE_HOME" in done.stderr


def test_a_home_on_a_disk_that_is_read_only_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for command in ("compare --dry-run", "compare", "lab status", "lab down"):
        done = in_namespace(
            f"mount --bind {home} {home} && mount -o remount,ro,bind {home}",
            f"{VCOMPARE} {command}",
            VCOMPARE_HOME=str(home),
        )
        assert done.returncode == 2, (command, done)
        assert str(home) in done.stderr
        assert "VCOMPARE_HOME" in done.stderr


@pytest.fixture
def anyone(tmp_path: Path) -> t.Iterator[Path]:
    """A folder that every user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="vcompare-anyone-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


# A user that no file of this machine knows.
STRANGER = "setpriv --reuid 54321 --regid 54321 --clear-groups"


def as_stranger(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as another user, where we are allowed to."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    return shell(f"{STRANGER} env -u HOME {command}", **environment)


@pytest.mark.parametrize("mode", [0o600, 0o000])
@pytest.mark.parametrize("command", ["runs", "compare --dry-run", "lab status", "report latest"])
def test_a_home_that_another_user_closed_is_named(anyone: Path, mode: int, command: str) -> None:
    closed = anyone / "closed"
    closed.mkdir()
    closed.chmod(mode)
    done = as_stranger(f"{VCOMPARE} {command}", VCOMPARE_HOME=str(closed / "home"))
    assert done.returncode == 2, done
    assert is_quiet(done)
    assert str(closed) in done.stderr
    assert "remedy:" in done.stderr


@pytest.mark.parametrize("command", ["runs", "compare --dry-run", "lab status", "report latest"])
def test_without_a_home_folder_it_is_asked_for(command: str) -> None:
    # Whoever runs the tests may have set one.
    done = as_stranger(f"env -u VCOMPARE_HOME {VCOMPARE} {command}")
    assert done.returncode == 2, done
    assert is_quiet(done)
    assert "VCOMPARE_HOME" in done.stderr


def test_a_bundle_that_another_user_closed_is_named(anyone: Path) -> None:
    bundle = Synthetic().write(anyone)
    for part in ("manifest.json", "blocks.jsonl", "proofs.jsonl", "samples.jsonl", "facts"):
        mode = (bundle / part).stat().st_mode
        (bundle / part).chmod(0)
        done = as_stranger(
            f"{VCOMPARE} report {bundle} --output {anyone}", VCOMPARE_HOME=str(anyone)
        )
        assert done.returncode == 2, (part, done)
        assert part in done.stderr
        assert "Permission denied" in done.stderr
        (bundle / part).chmod(mode)
