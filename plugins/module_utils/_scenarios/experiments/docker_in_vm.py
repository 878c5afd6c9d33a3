# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Docker works inside a virtual machine: its container's application answers from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import (
    MEASURED_ARMS,
    WITHIN_ANOTHER,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "docker-in-vm"
WORKS = answer(NAME, "works")

_ASK_S = 60.0


def works(stage: Stage) -> t.Iterator[Figure]:
    """Write through the network, and read in the container."""
    address = stage.backend.address(stage.spec)
    resp.ask(address, "SET vcompare-inside yes", _ASK_S * stage.factor)
    value = resp.ask(address, "GET vcompare-inside", _ASK_S * stage.factor)
    said = stage.run(["test", "-e", "/.dockerenv"], _ASK_S)
    listed = replied(stage.run(["ls", "/proc"], _ASK_S), "listing the container's processes")
    count = sum(word.isdigit() for word in listed.split())
    yield Figure(
        WORKS,
        float(value == "yes" and said.rc == 0),
        f"redis at {address} has {value!r}; commands run {'in' if said.rc == 0 else 'in no'} container of Docker,"
        f" which sees {count} processes",
    )


EXPERIMENT = Experiment(
    NAME,
    (Step(LATER, (WORKS,), works),),
    without=tuple(arm for arm in MEASURED_ARMS if arm not in WITHIN_ANOTHER),
)
