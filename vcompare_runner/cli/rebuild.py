# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A lab written down, and built again from what was written: ``vcompare lab lock`` and ``vcompare lab rebuild``."""

from __future__ import annotations

import typing as t
from pathlib import Path

from vcompare_runner.cli import commands
from vcompare_runner.core.edges import (
    expanded,
    parse_json,
    read_bytes,
    require_file,
    require_writable,
)
from vcompare_runner.core.errors import EXIT_OK, PlaybookError, UsageError
from vcompare_runner.run import seen
from vcompare_runner.run.terminal import say

# Names of the tasks whose results say what was done (docs/contracts.md).
LOCK_TASK = "lab: lock"
VERIFY_TASK = "lab: verify"


def lock(lab: str, output: Path, inventory: Path | None) -> int:
    """Write the lock of a lab.

    :raises UsageError: the file can't be written there.
    """
    target = require_writable("--output", output)
    outcome, code, servers = commands.lab_play(
        "lab_lock.yml", lab, None, inventory, vcompare_lock=str(target)
    )
    if code is not None:
        return code
    for result in seen.results(outcome, LOCK_TASK, servers).values():
        if result.get("dest") != str(target):
            raise PlaybookError(
                f"the lock was written to {result.get('dest')}, not to {target}",
                f"the log is {outcome.log}",
            )
    say(f"the lab {lab} is written down in {target}")
    return EXIT_OK


def rebuild(
    lab: str, lock_file: Path, verify: bool, packages: t.Sequence[Path], inventory: Path | None
) -> int:
    """Destroy a lab, and build it from a lock.

    :raises UsageError: the lock can't be read, or a folder is not there; nothing was destroyed.
    """
    source = require_file("--lock", expanded("--lock", lock_file))
    nodes = _nodes_of(source)
    places = [expanded("--packages", place) for place in packages]
    for place in places:
        if not place.is_dir():
            raise UsageError(
                f"--packages: there is no folder {place}", "name the folder packages of a home"
            )
    outcome, code, servers = commands.lab_play(
        "lab_rebuild.yml",
        lab,
        None,
        inventory,
        nodes,
        vcompare_lock=str(source),
        vcompare_verify=verify,
        vcompare_packages=[str(place) for place in places],
    )
    if code is not None:
        return code
    seen.check_lab(outcome, commands.DOWN_TASK, servers, lab, "absent")
    seen.check_lab(outcome, commands.UP_TASK, servers, lab, "running")
    if verify:
        seen.results(outcome, VERIFY_TASK, servers)
    say(f"the lab {lab} is built from {source}" + (", and is what that says" if verify else ""))
    return EXIT_OK


def _nodes_of(source: Path) -> int:
    """Return how many nodes the lab of a lock has.

    :raises UsageError: it can't be read, or is not a lock.
    """
    remedy = "write one with: vcompare lab lock"
    try:
        nodes = parse_json(read_bytes(source))["lab"]["nodes"]
    except OSError as error:
        raise UsageError(f"--lock: {source} can't be read: {error.strerror}", remedy) from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"--lock: {source} is not a lock of a lab", remedy) from None
    if nodes not in (2, 3, 4):
        raise UsageError(f"--lock: {source} is of a lab with {nodes!r} nodes", remedy)
    return int(nodes)
