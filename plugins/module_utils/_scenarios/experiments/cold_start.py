# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time to the first reply when the image, and all that starts it, must be read from the disk.

It comes last, without the turn's own instance: what that has mapped would stay in memory, and a container would find
its programs there.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import page_cache
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    Experiment,
    Figure,
    Stage,
    Step,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup

NAME = "cold-start"
FIRST_REPLY = dataclasses.replace(startup.FIGURE, scenario=NAME)


def cold(stage: Stage) -> t.Iterator[Figure]:
    """Lay an instance ready, have the host forget what it cached, and start it."""
    stage.end()
    spec = stage.prepared("cold")
    stage.settle()
    warm_mib = page_cache.cached_mib()
    page_cache.drop()
    left_mib, before_mib = page_cache.cached_mib(), page_cache.read_mib()
    elapsed_s = stage.started(spec)
    read_mib = page_cache.read_mib() - before_mib
    stage.gone(spec)
    if read_mib <= 0:
        raise BackendError(
            f"{stage.backend.arm}: nothing was read from a disk while it started, so that its start was not cold"
        )
    yield Figure(
        FIRST_REPLY,
        elapsed_s,
        f"the page cache went from {warm_mib:.0f} to {left_mib:.0f} MiB before, and {read_mib:.1f} MiB were read from"
        f" disks up to the first correct reply after {elapsed_s:.3f} s",
    )


EXPERIMENT = Experiment(
    NAME, (Step(LAST, (FIRST_REPLY,), cold, company=True),), without=(), cools=True
)
