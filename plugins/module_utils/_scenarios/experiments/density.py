# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many instances one host carries: they come until something ends it.

Containers come two at a time, which fills a host of two CPUs in half the time; machines one by one, since those that
boot beside each other on a slow host are late. How long it takes is not a figure here.

It ends with the first that can't be made, with the first that does not reply in time any more while all of them are
asked, when the host's memory is down to its reserve, or with a thousand. Each of these is an answer. The time that a
profile has for it, and our own addresses, are none: what was reached by then is not a limit of the host,
so the count is refused, and the projection from what each took is reported under a name of its own.

With ``stock`` limits the host is as it is delivered. With ``tuned`` ones (limits.py) it is asked again only where
something that they change may have ended it: what ended by memory would end there once more.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset
from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import NoAddress
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    crowd,
    limits,
    resp,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
)

NAME = "density"
STOCK, TUNED = "stock", "tuned"
THOUSAND = 1000

# All of them are asked whenever a tenth more have come, so that a count is right to a tenth (below twenty to what came
# at once), and each must reply within so long (on an ordinary machine).
_TENTH = 10
_REPLY_S = 1.0
_AT_ONCE = 2
# For each second of a workload's iteration.
_LONGEST_S = 600.0

MEMORY, FAILURE, SERVICE, ALL, TIME, ADDRESSES = (
    "the host's memory",
    "a failure",
    "the service level",
    "a thousand",
    "the time",
    "our addresses",
)
# Ends that say something of the host, and those that other limits of its kernel may move.
_OF_THE_HOST = frozenset({MEMORY, FAILURE, SERVICE, ALL})
_BY_LIMITS = frozenset({FAILURE, SERVICE})


def metrics(variant: str) -> tuple[Metric, ...]:
    """Return what a variant gives: instances, projected, memory of each, whether a thousand replied."""
    return (
        Metric(NAME, "instances", "count", "higher", 0.0, 1e6, variant),
        Metric(NAME, "projected_instances", "count", "higher", 0.0, 1e9, variant),
        Metric(NAME, "marginal_memory", "MiB", "lower", 0.0, 1e6, variant),
        dataclasses.replace(answer(NAME, "thousand_served"), variant=variant),
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How it went.

    :param served: how many replied the last time that all of them were asked and did.
    :param end: what ended it (a word of this module), and ``text`` how that was seen.
    :param console: what an instance that was lost said last, if anything.
    """

    served: int
    end: str
    text: str
    memory: crowd.Memory
    console: str = ""

    @property
    def projection(self) -> str:
        """What would be, in words."""
        count = self.memory.projected()
        return (
            "there is no projection, since no two counts were seen"
            if count is None
            else f"PROJECTION from the memory that each took: {count}"
        )

    @property
    def words(self) -> str:
        """All of it as a sentence."""
        return f"{self.served} replied; it was ended by {self.end}: {self.text}"


def figures(outcome: Outcome, variant: str) -> t.Iterator[Figure]:
    """Judge an outcome.

    :raises NotPossible: for what only would be a projection, with that projection.
    """
    instances, projected, marginal, thousand = metrics(variant)
    each, count = outcome.memory.marginal_mib(), outcome.memory.projected()
    said = "\n".join(filter(None, [f"{outcome.words}; {outcome.memory.text}", outcome.console]))
    if each is not None and each > 0:
        yield Figure(marginal, each, f"by regression: {said}")
    if count is not None:
        yield Figure(projected, count, f"a projection, not a count: {said}")
    if outcome.end in _OF_THE_HOST:
        yield Figure(instances, outcome.served, said)
    if outcome.end == ALL:
        yield Figure(thousand, 1.0, said)
    elif outcome.end in _BY_LIMITS:
        yield Figure(thousand, 0.0, said)
    raise NotPossible(f"{outcome.words}. {outcome.projection}")


def stock(stage: Stage) -> t.Iterator[Figure]:
    """With limits as they are."""
    outcome = _filled(stage, STOCK)
    stage.notes[NAME] = outcome
    yield from figures(outcome, STOCK)


def tuned(stage: Stage) -> t.Iterator[Figure]:
    """With limits raised, where that may change anything."""
    before = stage.notes.get(NAME)
    if before is None:
        raise NotPossible("it did not come to an end with stock limits, which it is held against")
    if before.end not in _BY_LIMITS:
        raise NotPossible(
            f"not measured: with stock limits it was ended by {before.end}, which no limit of the kernel changes"
        )
    with limits.raised() as changed:
        outcome = _filled(stage, TUNED)
        outcome = dataclasses.replace(outcome, text=f"{outcome.text} (with {changed})")
    yield from figures(outcome, TUNED)


def _filled(stage: Stage, variant: str) -> Outcome:
    """Make instances until something ends it, and take all of them away again."""
    memory = crowd.Memory(crowd.SMALLEST_MIB, stage.backend.own_kernel)
    try:
        memory.look(0)
        outcome = _until_it_ends(stage, variant, memory)
    finally:
        for spec in reversed(list(stage.company.values())):
            if spec.name.startswith(f"{stage.spec.name}-{variant}"):
                stage.gone(spec)
    return outcome


def _until_it_ends(stage: Stage, variant: str, memory: crowd.Memory) -> Outcome:
    longest_s = _LONGEST_S * stage.seconds
    began = time.monotonic()
    at_once = 1 if stage.backend.own_kernel else _AT_ONCE
    there: list[InstanceSpec] = []
    end = text = console = ""
    served = 0
    while not end:
        # As many as there is room for.
        size = next((each for each in range(at_once, 0, -1) if not memory.refusal(each)), 0)
        if len(there) >= THOUSAND:
            end, text = ALL, "more were not tried"
        elif time.monotonic() - began > longest_s:
            end, text = TIME, f"{longest_s:g} s are what the profile has for it"
        elif not size:
            end, text = MEMORY, memory.refusal()
        else:
            numbers = range(len(there), min(len(there) + size, THOUSAND))
            came, end, text, console = _more(stage, variant, numbers)
            there += came
            memory.look(len(there))
        if end or len(there) - served >= max(1, served // _TENTH):
            silent = _silent(stage, there)
            if silent:
                # What ended it comes second to what it had done to the others.
                why = f", after {text}" if text else ""
                state, said = _what_became(stage, silent)
                end = SERVICE
                text = (
                    f"of {len(there)} instances {len(silent)} did not reply within"
                    f" {_REPLY_S * stage.factor:g} s ({', '.join(silent[:3])}), {state}{why}"
                )
                console = "\n".join(filter(None, [console, said]))
            else:
                served = len(there)
    return Outcome(served, end, text, memory, console)


def _more(
    stage: Stage, variant: str, numbers: t.Sequence[int]
) -> tuple[list[InstanceSpec], str, str, str]:
    """Make some more at once; return those that replied, and what ended it, how, and on which last words, if it did."""
    # All CPUs of the host, since it is the host that is filled, but one for each instance, in turn: an emulated host
    # was reset when seven machines had had any CPU to run on; held to one, ten were there for half an hour.
    cpus = sorted(cpuset.online())
    batch: list[InstanceSpec] = []
    try:
        for number in numbers:
            one = cpuset.render(frozenset({cpus[number % len(cpus)]}))
            batch.append(
                stage.prepared(f"{variant}{number}", memory_mib=crowd.SMALLEST_MIB, cpuset=one)
            )
        stage.fresh_together(batch)
    except BackendError as error:
        end = ADDRESSES if isinstance(error, NoAddress) else FAILURE
        silent = _silent(stage, batch)
        replied = [spec for spec in batch if spec.name not in silent]
        return replied, end, error.message, error.evidence
    return batch, "", "", ""


def _silent(stage: Stage, specs: t.Sequence[InstanceSpec]) -> list[str]:
    """Ask every one for a correct reply; return those that gave none in time."""
    deadline_s = _REPLY_S * stage.factor
    return [spec.name for spec in specs if not resp.ping(stage.backend.address(spec), deadline_s)]


def _what_became(stage: Stage, silent: t.Sequence[str]) -> tuple[str, str]:
    """Tell those that are late from those that are gone; return that, and what the first of the latter said last."""
    try:
        gone = [name for name in silent if stage.backend.info(name).state != "running"]
        if not gone:
            return "while they went on running", ""
        said = stage.backend.last_words(gone[0])
        return f"{len(gone)} of which had ended", f"{gone[0]} said last:\n{said}"
    except BackendError as error:
        return f"and what became of them is not known: {error.message}", ""


EXPERIMENT = Experiment(
    NAME,
    (
        Step(LATER, metrics(STOCK), stock, company=True),
        Step(LATER, metrics(TUNED), tuned, company=True),
    ),
)
