# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the gates hold figures against, and what a gate says.

Limits are data: each with its unit, and with the reason why it is what it is.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a gate asks, and from which figure on it refuses.

    :param value: the figure may be as large as this; None when there is no figure but yes and no,
        or when a claim's own margin is the limit.
    """

    question: str
    value: float | None
    unit: str


AA = "aa-noise"
STEAL = "steal"
QUIET = "quiet-host"
PRESSURE = "pressure"
SWAP = "swap"
FOREIGN = "foreign-load"
CONTROLLER_STEAL = "controller-steal"
CONTROLLER_PRESSURE = "controller-pressure"
CONTROLLER_SWAP = "controller-swap"
HOST_CLOCK = "host-clock"
GUEST_CLOCK = "guest-clock"
PROOF = "proof"
DIGEST = "digest"
VALUES = "values"
RECORD = "record"

LIMITS: dict[str, Limit] = {
    # Two looks at the same thing differ by noise alone. A claim whose margin is m is not decided by
    # a measurement that can't tell bare from bare within m / 2 (docs: measuring, gate 8).
    AA: Limit("does bare differ from itself?", None, "× (half of each claim's margin)"),
    # Of the host's CPU time over an arm's turn, or that of the machine below over a block. What is stolen
    # evenly makes all else that much slower: up to here each claim is held against its own margin
    # (``conditions.stolen``). What came in bursts, to one turn of a block more than to another, is not
    # bounded by the mean, and shows where noise does: in the interval, and in bare against itself.
    # Beyond, nothing is believed.
    STEAL: Limit("did a hypervisor below run something else?", 0.10, "of the CPU time"),
    # CPUs that were busy just before the arm's turn, when nothing of ours ran: the limit that the
    # measuring side waits for (``conditions.QUIET_CPUS`` of the collection).
    QUIET: Limit("was the host quiet before the turn?", 0.3, "CPUs"),
    # Of the turn's time, some task waited for the resource, above what it waited in the median of this
    # arm's turns: the workloads wait themselves, and do the same in each block. In 33 turns of seven
    # runs on quiet emulated nodes that was 5 to 38% for the CPU and up to 8% for the disk by arm, but
    # within one arm no two turns were farther apart than 16% and 6%. None of them ever waited for
    # memory, so that is judged as it is.
    f"{PRESSURE}-cpu": Limit(
        "did tasks wait for the CPU more than in other blocks?", 0.25, "of the time"
    ),
    f"{PRESSURE}-io": Limit(
        "did tasks wait for the disk more than in other blocks?", 0.15, "of the time"
    ),
    f"{PRESSURE}-memory": Limit("did tasks wait for memory?", 0.02, "of the time"),
    # One page read back from a disk costs more than all that is measured in microseconds.
    SWAP: Limit("did the host swap?", 0.0, "pages"),
    # On a machine that carries the nodes: as much as on a quiet host. On a large machine, see
    # ``FOREIGN_SHARE``.
    FOREIGN: Limit("did the machine below do other work?", 0.3, "CPUs"),
    CONTROLLER_STEAL: Limit("did someone else use the machine below?", 0.10, "of the CPU time"),
    CONTROLLER_PRESSURE: Limit("did the machine below lack memory?", 0.02, "of the time"),
    # Some pages a minute are housekeeping of a machine that nothing is amiss with, and cost a node
    # nothing that could be measured; 256 pages are 1 MiB.
    CONTROLLER_SWAP: Limit("did the machine below swap?", 256.0, "pages a minute"),
    # Half a per cent: a tenth of the smallest margin in use. NTP slews by 0.05% at most.
    HOST_CLOCK: Limit("does the host's clock run as the controller's?", 0.005, "off"),
    GUEST_CLOCK: Limit("does the instance's clock run as its host's?", 0.005, "off"),
    PROOF: Limit("did each arm prove what it is?", None, ""),
    DIGEST: Limit("is the root file system the declared one?", None, ""),
    VALUES: Limit("is each value physically possible?", None, ""),
    RECORD: Limit("is the record as it was written?", None, ""),
}

# Those that look at what else the machines did meanwhile.
OF_CONDITIONS = frozenset(
    {
        STEAL,
        QUIET,
        f"{PRESSURE}-cpu",
        f"{PRESSURE}-io",
        f"{PRESSURE}-memory",
        SWAP,
        FOREIGN,
        CONTROLLER_STEAL,
        CONTROLLER_PRESSURE,
        CONTROLLER_SWAP,
    }
)

# As a share, where a claim has no margin to hold what was stolen against.
STOLEN_WITHOUT_MARGIN = 0.02

# On large machines, foreign load may be this part of all CPUs.
FOREIGN_SHARE = 0.05

# A median of the arm's own turns needs this many; before that, what it would be held against is not
# known.
LEAST_TURNS = 3

# An arm of whose blocks more than this part was refused is refused as a whole: the few that are left
# would be a choice of moments, not a measurement.
MOST_REFUSED = 0.5


@dataclasses.dataclass(frozen=True)
class GateResult:
    """What one gate says of one thing.

    :param name: of the gate, one of ``LIMITS``.
    :param scope: ``run``, ``host``, ``block``, ``arm`` (in one block, or in all without a block),
        ``scenario``.
    :param passed: False refuses; None when it can't be judged: the sentence says why.
    :param figure: what was found, in the unit of the limit; None when there is none.
    """

    name: str
    scope: str
    passed: bool | None
    figure: float | None
    limit: float | None
    sentence: str
    host: str | None = None
    arm: str | None = None
    block: int | None = None
    scenario: str | None = None
    metric: str | None = None
