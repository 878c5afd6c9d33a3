# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether what an instance was comes back: its state is written, kept, overwritten, and looked at after a restore.

The state is redis' data, which is memory alone, and a file of the instance's own. The root file system is read-only in
every arm, so that the file lies in the memory as well; a disk that is written to is the scenario image-history.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "snapshots"
MEMORY = answer(NAME, "memory_restored")
STATE = answer(NAME, "state_restored")
SAVE_TIME = Metric(NAME, "save_time", "s", "lower", 0.0001, 3600.0)
RESTORE_TIME = Metric(NAME, "time_to_restored_reply", "s", "lower", 0.0001, 3600.0)
QUICK = answer(NAME, "restored_within_a_minute")
SIZE = Metric(NAME, "snapshot_size", "MiB", "lower", 0.001, 1e7)

_KEY, _FILE = "vcompare-snapshot", "/tmp/vcompare-snapshot"  # noqa: S108 - of the instance
_SAVE_S = 120.0
_QUICK_S = 60.0


def kept_and_restored(stage: Stage) -> t.Iterator[Figure]:
    """Write, keep, go on and overwrite, restore, read."""
    backend, name = stage.backend, stage.spec.name
    address = backend.address(stage.spec)
    limit = _SAVE_S * stage.factor
    _write(stage, address, "before")
    # Arms that have none say so here.
    began = time.monotonic()
    path = backend.save(name, limit)
    saved_s = time.monotonic() - began
    size = os.stat(path).st_blocks * 512 / (1 << 20)
    # The first life goes on, and writes something else.
    backend.restore(name, limit)
    _write(stage, address, "after")
    backend.put_down(name, limit)
    began = time.monotonic()
    backend.restore(name, limit)
    value = resp.ask(address, f"GET {_KEY}", limit)
    restored_s = time.monotonic() - began
    text = replied(stage.run(["cat", _FILE], 60.0), "reading the file after the restore").strip()
    yield Figure(MEMORY, float(value == "before"), f"redis has {value!r}; kept was 'before'")
    yield Figure(STATE, float(text == "before"), f"{_FILE} has {text!r}; kept was 'before'")
    yield Figure(SAVE_TIME, saved_s, f"to keep it took {saved_s:.3f} s")
    yield Figure(SIZE, size, f"{path} takes {size:.1f} MiB")
    yield Figure(
        QUICK,
        float(value == "before" and restored_s <= _QUICK_S),
        f"the reply with {value!r} came {restored_s:.3f} s after the restore was begun",
    )
    if value == "before":
        yield Figure(RESTORE_TIME, restored_s, f"from the restore to the reply with {value!r}")


def _write(stage: Stage, address: str, text: str) -> None:
    resp.ask(address, f"SET {_KEY} {text}", 30.0 * stage.factor)
    replied(
        stage.run(["/bin/sh", "-c", f"echo {text} > {_FILE}"], 60.0), f"writing {text!r} to a file"
    )


EXPERIMENT = Experiment(
    NAME, (Step(LAST, (MEMORY, STATE, SAVE_TIME, RESTORE_TIME, QUICK, SIZE), kept_and_restored),)
)
