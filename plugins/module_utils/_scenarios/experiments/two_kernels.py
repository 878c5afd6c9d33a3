# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether two instances run two kernels at the same time: the turn's own, and one made from another release's image."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
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
    other = with_other_kernel(stage, "release", stage.image(ROLE))
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


def with_other_kernel(stage: Stage, tag: str, image: Image) -> InstanceSpec:
    """Return one more instance of another image, whose kernel is told to leave protection keys alone.

    Linux 6.12 writes them at each signal. Xen on an emulated AMD machine mixes them up between its guests, and the
    guest's init then dies ("bad frame in rt_sigreturn": two of two, and none of two with them off). No work of ours has
    any.
    """
    if not stage.backend.own_kernel:
        return stage.another(tag, image=image)
    words = [str(stage.spec.options.get("cmdline") or ""), "nopku"]
    options = {**stage.spec.options, "cmdline": " ".join(filter(None, words))}
    return stage.another(tag, image=image, options=options)


def kernel_of(stage: Stage, name: str) -> str:
    """Return the release of the kernel that an instance says that it runs."""
    return replied(stage.run(["uname", "-r"], _ASK_S, name), "asking for the kernel").strip()


def boot_of(stage: Stage, name: str) -> str:
    """Return the name that an instance's kernel has for its own boot."""
    said = stage.run(["cat", "/proc/sys/kernel/random/boot_id"], _ASK_S, name)
    return replied(said, "asking for the boot").strip()


EXPERIMENT = Experiment(NAME, (Step(LATER, (DIFFER,), differ, company=True),))
