# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether two instances run two kernels at the same time: the turn's own, and one made from another release's image."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "two-kernels"
DIFFER = answer(NAME, "kernels_differ")
# docs/experiments.md, "Further images".
ROLE = "other-release"

_ASK_S = 60.0


def differ(stage: Stage) -> t.Iterator[Figure]:
    """Ask both, while both are there, which kernel they run."""
    other = stage.another("release", image=stage.image(ROLE))
    stage.fresh(other)
    kernels = [kernel_of(stage, name) for name in (stage.spec.name, other.name)]
    boots = [boot_of(stage, name) for name in (stage.spec.name, other.name)]
    stage.gone(other)
    yield Figure(
        DIFFER,
        float(kernels[0] != kernels[1]),
        f"the image of all arms reports {kernels[0]} (boot {boots[0]}), and beside it the other release's"
        f" {kernels[1]} (boot {boots[1]})",
    )


def kernel_of(stage: Stage, name: str) -> str:
    """Return the release of the kernel that an instance says that it runs."""
    return replied(stage.run(["uname", "-r"], _ASK_S, name), "asking for the kernel").strip()


def boot_of(stage: Stage, name: str) -> str:
    """Return the name that an instance's kernel has for its own boot."""
    said = stage.run(["cat", "/proc/sys/kernel/random/boot_id"], _ASK_S, name)
    return replied(said, "asking for the boot").strip()


EXPERIMENT = Experiment(NAME, (Step(LATER, (DIFFER,), differ, company=True),))
