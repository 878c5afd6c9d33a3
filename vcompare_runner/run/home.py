# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The home folder: what this machine keeps of labs, images and runs."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from pathlib import Path

from vcompare_runner.bundle.read import read_manifest
from vcompare_runner.bundle.schema import Manifest
from vcompare_runner.core.edges import expanded, is_there, open_lines, parse_json
from vcompare_runner.core.errors import BundleError, UsageError
from vcompare_runner.core.names import compared, did_you_mean


def find_home() -> Path:
    """Return the home folder: ``VCOMPARE_HOME``, else ``vcompare`` in the XDG data folder.

    It need not exist.
    """
    named = os.environ.get("VCOMPARE_HOME")
    if named:
        return expanded("VCOMPARE_HOME", Path(named))
    data = os.environ.get("XDG_DATA_HOME")
    if data:
        return expanded("XDG_DATA_HOME", Path(data)) / "vcompare"
    return expanded("HOME (or VCOMPARE_HOME)", Path("~/.local/share")) / "vcompare"


# The same as of a lab (the collection's ``lab/layout.py``): said before anything is asked of it.
_HOME = re.compile(r"/[\w./+@-]*")


def check_home(home: Path) -> None:
    """Check that the home can be written, without making it.

    :raises UsageError: it can't.
    """
    if not _HOME.fullmatch(str(home)):
        raise UsageError(
            f"the home folder {str(home)!r} can't be used: ssh and QEMU would read it as something else",
            "set VCOMPARE_HOME to a path of letters, digits and / . _ + @ -",
        )
    place = home
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(
            f"the home folder {home} can't be made: {place} is not a folder", _HOME_REMEDY
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"the home folder {home} can't be written: no permission in {place}", _HOME_REMEDY
        )


_HOME_REMEDY = "set VCOMPARE_HOME to a folder that you can write"


def make_private(folder: Path) -> Path:
    """Make a folder that only its owner can read, with its parents."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} can't be made: {error.strerror}", _HOME_REMEDY
        ) from error
    return folder


def run_folders(home: Path) -> list[Path]:
    """Return the folders of all runs, oldest first (ids begin with the time)."""
    folder = home / "runs"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def find_run(home: Path, name: str) -> Path:
    """Return the folder of a run by its id, the beginning of it, or ``latest``.

    :raises UsageError: there is no such run, or there are several.
    """
    folders = run_folders(home)
    if name == "latest" and folders:
        return folders[-1]
    matches = [path for path in folders if path.name == name] or [
        path for path in folders if path.name.startswith(name)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"{name} is the beginning of several runs: {', '.join(path.name for path in matches)}",
            "give more of the id",
        )
    guess = did_you_mean(name, [path.name for path in folders])
    raise UsageError(
        f"there is no run {name} in {home / 'runs'}",
        " ".join(part for part in (guess, "`vcompare runs` lists the runs that there are") if part),
    )


def find_bundle(home: Path, name: str) -> Path:
    """Return the bundle that a user names: a folder, or a run of this home."""
    # An id of a run may begin with anything but this.
    path = expanded("BUNDLE", Path(name)) if name.startswith("~") else Path(name)
    if path.is_dir():
        return path
    if path.name == "manifest.json" and path.is_file():
        return path.parent
    if os.sep in name or name.startswith((".", "~")):
        raise UsageError(
            f"there is no folder {name}", "`vcompare runs` lists the runs that this machine has"
        )
    return find_run(home, name)


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """One line of ``vcompare runs``.

    :param status: ``finished``, ``unfinished`` (can be resumed), ``not begun`` (no manifest yet) or
        ``broken``.
    :param has_more: its profile's time ended it, so that it can be resumed although it is finished.
    """

    run: str
    created_at: str | None
    profile: str | None
    substrate: list[str]
    blocks_done: int
    blocks_planned: int | None
    arms: list[str]
    status: str
    problem: str | None
    folder: str
    has_more: bool = False


def summarise_run(folder: Path) -> RunSummary:
    """Sum up a run without loading its samples."""
    if not is_there(folder / "manifest.json"):
        problem = "stopped before its first block"
        return RunSummary(
            folder.name, None, None, [], 0, None, [], "not begun", problem, str(folder)
        )
    try:
        manifest = read_manifest(folder)
        done = count_blocks(folder, manifest)
    except (BundleError, OSError) as error:
        problem = (
            error.message
            if isinstance(error, BundleError)
            else f"{error.filename}: {error.strerror}"
        )
        return RunSummary(folder.name, None, None, [], 0, None, [], "broken", problem, str(folder))
    planned = [plan for plan in manifest.arms if plan.planned]
    return RunSummary(
        run=manifest.run,
        created_at=manifest.created_at,
        profile=manifest.profile.name,
        substrate=sorted({plan.substrate for plan in manifest.arms if plan.substrate}),
        blocks_done=done,
        # The least number that was planned, or what it has come to.
        blocks_planned=max(manifest.profile.blocks, done),
        arms=compared(dict.fromkeys(plan.arm for plan in planned)),
        status="finished" if manifest.finished_at else "unfinished",
        problem=None,
        folder=str(folder),
        has_more=manifest.stopped == "budget" and bool(manifest.profile.within_s),
    )


def count_blocks(folder: Path, manifest: Manifest) -> int:
    """Count the block numbers that every host with a planned arm has finished."""
    hosts = {plan.host for plan in manifest.arms if plan.planned}
    done: dict[str, set[int]] = {host: set() for host in hosts}
    for record in _records(folder / "blocks.jsonl"):
        host, block = record.get("host"), record.get("block")
        # A broken record may have a list in place of either.
        if not isinstance(host, str) or not isinstance(block, int):
            continue
        if host in done and record.get("run") == manifest.run:
            done[host].add(block)
    return len(set.intersection(*done.values())) if done else 0


def _records(path: Path) -> list[dict[str, t.Any]]:
    records = []
    with open_lines(path) as lines:
        for line in lines:
            try:
                record = parse_json(line)
            except ValueError:
                # The report says what is wrong with it; a list of runs has no room for that.
                continue
            if isinstance(record, dict):
                records.append(record)
    return records
