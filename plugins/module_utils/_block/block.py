# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One measuring block on one host: each arm in turn, each with a fresh instance.

An arm's turn: nothing of ours is left → the host is quiet → start, timed from outside → the arm
proves what it is → its root file system is the declared one → the workloads → gone. What goes wrong
is data: the arm's samples say ``failed`` (it did not work) or ``refused`` (it worked, but the
figure can't be trusted), with the reason, and the block goes on with the next arm.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import shlex
import time
import traceback
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import registry as backends
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Backend,
    Image,
    InstanceSpec,
    Proof,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._contract import ids
from ansible_collections.vcompare.lab.plugins.module_utils._contract.reasons import IMPOSSIBLE_VALUE
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions, freed
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness, starting
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.evidence import Evidence
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    LATER,
    REST,
    Experiment,
    Step,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.registry import (
    EXPERIMENTS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import (
    Stage,
    opened,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.client import Peer
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import (
    registry,
    startup,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Metric,
    Workload,
    WorkloadError,
    WorkSpec,
    implausible,
)

SCHEMA = 1
OWNER = "measure"
DIGEST_PROGRAM = "/usr/lib/vcompare/digest"

# Deadlines in seconds on an ordinary machine; all of them scale with ``timeout_factor``.
_WORK_S = 60.0
_DIGEST_S = 120.0
_DESTROY_S = 60.0

# Clocks of host and instance may differ by this much (docs: half a per cent).
_CLOCK_TOLERANCE = 0.005


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one block on one host shall be.

    :param arms: in the order of their turns.
    :param iterations: of each workload that count.
    :param warmups: short iterations that come before them, and are marked so.
    :param full_digest: read every byte of the root file system, not just its names and sizes.
    :param timeout_factor: how much slower than an ordinary machine this host may be.
    :param company: whether experiments may make further instances beside the one that is measured.
    :param images: further images that this host has, by their role.
    :param peers: second hosts, by the arm that they carry as well.
    :param options: what single arms understand, by arm.
    :param lost: arms that are not measured since the host did not survive them, and how that was seen.
    """

    run: str
    block: int
    host: str
    arms: t.Sequence[str]
    scenarios: t.Sequence[str]
    iterations: int
    work: WorkSpec
    image: Image
    cpuset: str = ""
    owner: str = OWNER
    warmups: int = 1
    full_digest: bool = False
    timeout_factor: float = 1.0
    company: bool = True
    images: t.Mapping[str, Image] = dataclasses.field(default_factory=dict)
    peers: t.Mapping[str, Peer] = dataclasses.field(default_factory=dict)
    options: t.Mapping[str, t.Mapping[str, t.Any]] = dataclasses.field(default_factory=dict)
    lost: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


class Refused(Exception):
    """What was measured can't be trusted; the text says why."""


BackendOf = t.Callable[[str], Backend]
Record = dict[str, t.Any]


def measure(plan: Plan, backend_of: BackendOf) -> Record:
    """Measure one block; return its samples, proofs, raw texts, arms and times.

    Raises nothing that a single arm did: see the status of the arms.
    """
    # The very first and the very last thing: the controller holds its own clock against these.
    started, started_at = time.monotonic(), wall_time()
    evidence = Evidence()
    samples: list[Record] = []
    proofs: list[Record] = []
    arms: list[Record] = []
    spoiled = _sweep_all(plan, backend_of)
    for order, arm in enumerate(plan.arms, start=1):
        turn = _Turn(plan, order, arm, evidence)
        if arm in plan.lost:
            turn.give_up("failed", plan.lost[arm])
        elif spoiled:
            turn.give_up("refused", spoiled)
        else:
            turn.take(backend_of)
            spoiled = _sweep_all(plan, backend_of) if turn.leftover else ""
        samples += turn.samples
        proofs.append(turn.proof_record())
        arms.append(turn.arm_record())
    return {
        "run": plan.run,
        "block": plan.block,
        "host": plan.host,
        "order": list(plan.arms),
        "arms": arms,
        "samples": samples,
        "proofs": proofs,
        "raw": evidence.texts,
        "started_at": started_at,
        **_clock(started),
    }


def _clock(started: float) -> Record:
    """How long the block took, and between which readings of which clock."""
    ended = time.monotonic()
    return {
        "host_elapsed_s": round(ended - started, 3),
        "host_monotonic_s": {
            "boot_id": conditions.boot_id(),
            "began_s": round(started, 6),
            "ended_s": round(ended, 6),
        },
    }


def wall_time() -> str:
    """The time of day, in UTC, with milliseconds."""
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"


def _sweep_all(plan: Plan, backend_of: BackendOf) -> str:
    """Destroy what an interrupted block left; return why that was not possible, or nothing.

    Only instances with our marker *and* this owner; the caller holds the host's measuring lock, so
    nobody else is using them.
    """
    # The host's own too: what an experiment does from outside is its process.
    for arm in dict.fromkeys([*plan.arms, backends.own_arm()]):
        try:
            backend = backend_of(arm)
        except BackendError:
            # Its own turn will say so.
            continue
        try:
            if backend.available():
                continue
            for info in backend.list():
                if info.details.get("owner") == plan.owner:
                    backend.destroy(info.name, _DESTROY_S * plan.timeout_factor)
        except BackendError as error:
            return f"an earlier instance could not be removed ({arm}): {error.message}"
    return ""


class _Turn:
    """The turn of one arm in a block."""

    def __init__(self, plan: Plan, order: int, arm: str, evidence: Evidence) -> None:
        self.plan, self.order, self.arm, self.evidence = plan, order, arm, evidence
        self.samples: list[Record] = []
        self.proofs: list[Proof] = []
        self.status, self.reason = "ok", ""
        self.leftover = False
        # where the turn's own time went, so that what measuring costs can be looked at
        self.phases: dict[str, float] = {}
        self._mark = time.monotonic()
        self._clocks: list[tuple[float, float, float]] = []
        # what else the host did; None when the turn did not get as far as looking
        self.conditions: Record | None = None
        # how its clock went on beside the host's; None when it was not looked at
        self.clock: Record | None = None
        self._quiet_cpus: float | None = None
        self._before: tuple[conditions.Conditions, float] | None = None
        # what every sample is still missing of; what is left out on purpose is not
        self._pending = {
            metric: None
            for scenario in plan.scenarios
            for metric in registry.metrics(scenario)
            if self._asked(scenario, metric)
        }
        self._name, self._address = ids.instance_name(plan.run, plan.block, arm), ""

    # What is handed back

    def arm_record(self) -> Record:
        """How the turn went."""
        return {
            "arm": self.arm,
            "status": self.status,
            "reason": self.reason or None,
            "conditions": self.conditions,
            "clock": self.clock,
            "phases_s": {name: round(spent, 3) for name, spent in self.phases.items()},
        }

    def proof_record(self) -> Record:
        """What the arm proved."""
        missing = "" if self.proofs else (self.reason or "there was nothing to prove it by")
        doubts = "; ".join(
            f"{proof.name}: expected {proof.expected}, observed {proof.observed}"
            for proof in self.proofs
            if not proof.holds
        )
        return {
            "run": self.plan.run,
            "block": self.plan.block,
            "host": self.plan.host,
            "arm": self.arm,
            "proven": not missing and not doubts,
            "reason": missing or doubts or None,
            "proofs": [dataclasses.asdict(proof) for proof in self.proofs],
        }

    def give_up(self, status: str, reason: str, seen: str = "") -> None:
        """End the turn: every scenario that has no sample yet gets one that says why."""
        self.status, self.reason = status, reason
        key = self.evidence.keep("\n".join(filter(None, [f"{status}: {reason}", seen])) + "\n")
        for metric in list(self._pending):
            self._sample(metric, None, 1, status, reason, key)

    # The turn itself

    def take(self, backend_of: BackendOf) -> None:
        """Measure the arm."""
        backend: Backend | None = None
        try:
            backend = backend_of(self.arm)
            unavailable = backend.available()
            if unavailable:
                raise BackendError(f"{self.arm} is not possible on this host: {unavailable}")
            self._measure(backend)
        except Refused as refusal:
            self._refuse(str(refusal))
        except BackendError as error:
            self.give_up("failed", error.text, error.evidence)
        except Exception as error:  # one arm's bug must not cost the figures of the others
            self.give_up("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
        finally:
            self._note_conditions()
            if backend is not None:
                self._destroy(backend)

    def _phase(self, name: str) -> None:
        """Note that a phase of the turn has just ended."""
        now = time.monotonic()
        self.phases[name] = self.phases.get(name, 0.0) + now - self._mark
        self._mark = now

    def _measure(self, backend: Backend) -> None:
        plan, factor = self.plan, self.plan.timeout_factor
        spec = self._spec(())
        if self._cools():
            self._warm(backend, spec)
            self._phase("warm")
        self._address = backend.address(spec)
        spec = dataclasses.replace(spec, command=startup.command(self._address))
        backend.prepare(spec)
        self._phase("prepare")
        freed.write_through(starting.FREED * plan.work.memory_mib)
        self._phase("freed")
        busy = self._quiet_cpus = conditions.wait_quiet(starting.QUIET_S * factor)
        # Only where somebody will ask: a control domain without xl is measured as well.
        before = host.state() if self._own_experiments() else host.State(math.nan, frozenset())
        self._before = conditions.now(), time.monotonic()
        if busy is None:
            raise Refused("this host does not say how busy it is: /proc/stat can't be read")
        if busy > conditions.QUIET_CPUS:
            raise Refused(f"other work keeps {busy:g} CPUs of the host busy")
        self._phase("quiet")
        started_at = wall_time()
        try:
            ready = starting.start(backend, spec, factor)
        except starting.AlreadyAnswered as error:
            raise Refused(error.message) from None
        self._phase("start")
        backend.wait_ready(spec, starting.READY_S * factor)
        self._phase("reach")
        stage = Stage(
            backend,
            spec,
            before,
            self.evidence,
            factor=factor,
            seconds=plan.work.seconds,
            images=plan.images,
            peer=plan.peers.get(self.arm),
        )
        with opened(stage, self._left_over):
            self._experiments(stage, REST)
            self._phase("at rest")
            self._measure_instance(backend, ready, started_at)
            self._experiments(stage, LATER)
            self._experiments(stage, LAST)
            self._phase("experiments")

    def _measure_instance(
        self, backend: Backend, ready: readiness.Readiness, started_at: str
    ) -> None:
        """Have the instance prove what it is, and work."""
        plan = self.plan
        self.proofs += backend.identify(self._name)
        self._check_proofs()
        self._phase("identify")
        self._check_digest(backend)
        self._phase("digest")
        self._startup_sample(ready, started_at)
        for name in plan.scenarios:
            if name in registry.WORKLOADS:
                self._workload(backend, registry.WORKLOADS[name])
        self._phase("work")
        self._check_clocks(backend)
        swapped = self._note_conditions()["swapped_pages"]
        if swapped:
            raise Refused(f"the host swapped {swapped} pages while it was measured")

    def _cools(self) -> bool:
        """Say whether an experiment of this run, in whichever turn, drops what the host has cached."""
        planned = (EXPERIMENTS[name] for name in self.plan.scenarios if name in EXPERIMENTS)
        return self.plan.company and any(each.cools for each in planned)

    def _warm(self, backend: Backend, spec: InstanceSpec) -> None:
        """Start an instance for nothing but that what starts one is in the host's memory again."""
        factor = self.plan.timeout_factor
        spec = dataclasses.replace(spec, name=f"{spec.name}-warm", data_mib=0)
        command = startup.command(backend.address(spec))
        spec = dataclasses.replace(spec, command=command)
        try:
            backend.prepare(spec)
            starting.start(backend, spec, factor)
        finally:
            backend.destroy(spec.name, _DESTROY_S * factor)

    def _note_conditions(self) -> Record:
        """Note what the host did since the instance was begun, once; return it."""
        if self.conditions is None and self._before is not None:
            before, at = self._before
            spent = conditions.now().since(before)
            self.conditions = {
                **spent.record(time.monotonic() - at),
                "quiet_cpus": self._quiet_cpus,
            }
        return self.conditions or {}

    def _spec(self, command: tuple[str, ...]) -> InstanceSpec:
        plan = self.plan
        return InstanceSpec(
            name=self._name,
            owner=plan.owner,
            vcpus=plan.work.vcpus,
            memory_mib=plan.work.memory_mib,
            image=plan.image,
            command=command,
            cpuset=plan.cpuset,
            data_mib=self._data_mib(),
            options=plan.options.get(self.arm, {}),
        )

    def _data_mib(self) -> int:
        """The largest data disk that an experiment of this turn needs."""
        planned = (EXPERIMENTS[name] for name in self.plan.scenarios if name in EXPERIMENTS)
        return max(
            (each.data_mib for each in planned if self.arm not in each.without),
            default=0,
        )

    def _startup_sample(self, ready: readiness.Readiness, started_at: str) -> None:
        if startup.NAME not in self.plan.scenarios:
            return
        key = self.evidence.keep(
            f"{self.arm}, block {self.plan.block}: from the call that creates"
            " to the first correct reply\n"
            f"{ready.text()}\n"
        )
        elapsed_s = round(ready.elapsed_s, 6)
        self._judged(startup.FIGURE, elapsed_s, 1, key, started_at, elapsed_s, None)

    # Experiments

    def _asked(self, scenario: str, metric: Metric) -> bool:
        """Say whether this turn shall give a metric."""
        experiment = EXPERIMENTS.get(scenario)
        if experiment is None:
            return True
        return self.arm not in experiment.without and any(
            metric in step.metrics and (self.plan.company or not step.company)
            for step in experiment.steps
        )

    def _own_experiments(self) -> dict[str, Experiment]:
        """Return the experiments of this run that this arm has."""
        return {
            name: experiment
            for name, experiment in EXPERIMENTS.items()
            if name in self.plan.scenarios and self.arm not in experiment.without
        }

    def _experiments(self, stage: Stage, moment: str) -> None:
        """Take the steps of this moment, each of which may fail alone."""
        for name, experiment in self._own_experiments().items():
            for step in experiment.steps:
                if step.moment == moment and (self.plan.company or not step.company):
                    self._step(stage, name, step)

    def _step(self, stage: Stage, scenario: str, step: Step) -> None:
        started_at, began = wall_time(), time.monotonic()
        status, reason, seen = "failed", f"{scenario} gave no figure for it", ""
        try:
            for figure in step.measure(stage):
                key = self.evidence.keep(
                    f"{self.arm}, block {self.plan.block}: {scenario}, {figure.metric.metric}"
                    f" ({figure.metric.variant}): {figure.text}\n"
                )
                elapsed_s = round(time.monotonic() - began, 6)
                self._judged(figure.metric, figure.value, 1, key, started_at, elapsed_s, None)
        except NotPossible as error:
            status, reason = "refused", error.message
        except BackendError as error:
            reason, seen = error.text, error.evidence
        except Exception as error:  # one step's bug must not cost the figures of the others
            reason, seen = f"{type(error).__name__}: {error}", traceback.format_exc()
        missing = [metric for metric in step.metrics if metric in self._pending]
        if not missing:
            return
        key = self.evidence.keep("\n".join(filter(None, [f"{status}: {reason}", seen])) + "\n")
        for metric in missing:
            self._sample(metric, None, 1, status, reason, key, started_at)
        # What a step that was broken off has begun is not the next one's.
        if trouble := stage.close():
            self._left_over(trouble)
        # What is not possible is no trouble of the arm.
        if status == "failed":
            self._worsen("failed", f"{scenario}: {reason}")
            if step.moment != LAST and not stage.alive():
                raise BackendError(
                    f"{self.arm}: the instance runs no commands any more after {scenario}: {reason}"
                )

    def _left_over(self, trouble: str) -> None:
        """Note that an instance of an experiment could not be removed: the next arm must not run beside it."""
        self.leftover = True
        self.evidence.keep(f"{self.arm}: not removed: {trouble}\n")

    def _workload(self, backend: Backend, workload: Workload) -> None:
        plan = self.plan
        timeout_s = (_WORK_S + plan.work.seconds) * plan.timeout_factor
        for iteration in range(1, plan.warmups + plan.iterations + 1):
            work = dataclasses.replace(
                plan.work, address=self._address, warmup=iteration <= plan.warmups
            )
            argv = workload.argv(work)
            started_at = wall_time()
            try:
                result = self._run(backend, argv, timeout_s)
            except BackendError as error:
                # An instance that does not run commands any more won't run the next one either.
                key = self.evidence.keep(
                    f"$ {shlex.join(argv)}\n{error.message}\n{error.evidence}\n"
                )
                self._failed(workload.figure, iteration, error.message, key, started_at, None, None)
                raise
            key = self.evidence.keep_result(argv, result)
            clocks = (started_at, result.host_elapsed_s, result.guest_elapsed_s)
            if result.rc != 0:
                said = (result.stderr.strip() or result.stdout.strip())[-200:]
                self._failed(
                    workload.figure,
                    iteration,
                    f"{argv[0]} ended with {result.rc}: {said or 'it said nothing'}",
                    key,
                    *clocks,
                )
                continue
            try:
                value = workload.parse(work, result.stdout, result.stderr)
            except WorkloadError as error:
                self._failed(workload.figure, iteration, str(error), key, *clocks)
                continue
            self._judged(workload.figure, value, iteration, key, *clocks)

    # Gates

    def _check_proofs(self) -> None:
        if not self.proofs:
            raise Refused(f"{self.arm} did not prove what it is")
        doubts = [proof for proof in self.proofs if not proof.holds]
        if doubts:
            raise Refused(
                f"{self.arm} did not prove what it is: "
                + "; ".join(
                    f"{p.name} ({p.source}) is {p.observed!r}, not {p.expected!r}" for p in doubts
                )
            )

    def _check_digest(self, backend: Backend) -> None:
        """Compare the root file system, as seen from inside, with the one that was declared."""
        full = self.plan.full_digest
        expected = self.plan.image.digest if full else self.plan.image.quick_digest
        argv = [DIGEST_PROGRAM] if full else [DIGEST_PROGRAM, "--quick"]
        result = self._run(backend, argv, _DIGEST_S * self.plan.timeout_factor)
        self.evidence.keep_result(argv, result)
        words = result.stdout.split()
        observed = (
            words[-1]
            if result.rc == 0 and words
            else f"rc {result.rc}: {result.stderr.strip()[-200:]}"
        )
        same = bool(expected) and observed.removeprefix("sha256:") == expected.removeprefix(
            "sha256:"
        )
        name = "root-file-system" if full else "root-file-system-quick"
        self.proofs.append(Proof(name, "inside", expected or "unknown", observed, same))
        if not same:
            raise Refused(
                "the root file system is not the declared one: "
                f"expected {expected or 'unknown'}, found {observed}"
            )

    def _run(self, backend: Backend, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command in the instance, and keep what it says of the instance's clock."""
        result = backend.run(self._name, argv, timeout_s)
        if result.clock is not None:
            self._clocks.append(result.clock)
        return result

    def _check_clocks(self, backend: Backend) -> None:
        """Refuse an arm whose clock certainly does not run as the host's does."""
        self._run(backend, ["true"], _WORK_S * self.plan.timeout_factor)
        if len(self._clocks) < 2:
            raise BackendError(f"{self.arm}: its clock could not be read")
        first, last = self._clocks[0], self._clocks[-1]
        verdict = clock_doubt(first, last)
        inside = last[2] - first[2]
        outside = last[1] - first[0]
        self.clock = {
            "instance_s": round(inside, 2),
            "host_least_s": round(last[0] - first[1], 3),
            "host_most_s": round(outside, 3),
        }
        self.evidence.keep(
            f"clocks of {self.arm} in block {self.plan.block}: {first} {last}"
            f" {verdict or 'agree'}\n"
        )
        self.proofs.append(
            Proof(
                "clock",
                "outside",
                f"as the host's, within {_CLOCK_TOLERANCE:.1%}",
                verdict or f"{inside:.2f} s in {outside:.2f} s",
                not verdict,
            )
        )
        if verdict:
            raise Refused(verdict)

    # Samples

    def _judged(
        self,
        metric: Metric,
        value: float,
        iteration: int,
        key: str,
        started_at: str,
        host_elapsed_s: float | None,
        guest_elapsed_s: float | None,
    ) -> None:
        """Record a value, or refuse it when it can't be real."""
        clocks = (started_at, host_elapsed_s, guest_elapsed_s)
        doubt = implausible(value, metric.low, metric.high, metric.unit)
        if doubt:
            self._worsen("refused", f"{metric.scenario}: {doubt}")
            self._sample(
                metric, None, iteration, "refused", doubt, key, *clocks, code=IMPOSSIBLE_VALUE
            )
        else:
            self._sample(metric, value, iteration, "ok", "", key, *clocks)

    def _failed(
        self,
        metric: Metric,
        iteration: int,
        reason: str,
        key: str,
        started_at: str,
        host_elapsed_s: float | None,
        guest_elapsed_s: float | None,
    ) -> None:
        self._worsen("failed", f"{metric.scenario}: {reason}")
        clocks = (started_at, host_elapsed_s, guest_elapsed_s)
        self._sample(metric, None, iteration, "failed", reason, key, *clocks)

    def _worsen(self, status: str, reason: str) -> None:
        """Set the turn's status; the first thing that went wrong stays the reason."""
        if self.status == "ok":
            self.status, self.reason = status, reason

    def _sample(
        self,
        metric: Metric,
        value: float | None,
        iteration: int,
        status: str,
        reason: str,
        key: str,
        started_at: str = "",
        host_elapsed_s: float | None = None,
        guest_elapsed_s: float | None = None,
        code: str = "",
    ) -> None:
        plan = self.plan
        self._pending.pop(metric, None)
        self.samples.append(
            {
                "schema": SCHEMA,
                "run": plan.run,
                "block": plan.block,
                "order": self.order,
                "host": plan.host,
                "arm": self.arm,
                "variant": metric.variant,
                "scenario": metric.scenario,
                "metric": metric.metric,
                "unit": metric.unit,
                "direction": metric.direction,
                "value": value,
                "iteration": iteration,
                # One start is one sample, and a scenario that was given up has one in place of all;
                # a workload's first iterations warm up for the others.
                "warmup": metric.scenario in registry.WORKLOADS
                and iteration <= plan.warmups
                and started_at != "",
                "status": status,
                "reason": reason or None,
                "started_at": started_at or wall_time(),
                "host_elapsed_s": host_elapsed_s,
                "guest_elapsed_s": guest_elapsed_s,
                "evidence": key,
                **({"reason_code": code} if code else {}),
            }
        )

    def _refuse(self, reason: str) -> None:
        """Take back what was measured in this turn, and say why; the raw evidence stays."""
        for sample in self.samples:
            if sample["status"] == "ok":
                sample.update(value=None, status="refused", reason=reason)
        self.give_up("refused", reason)

    def _destroy(self, backend: Backend) -> None:
        self._phase("rest")
        try:
            backend.destroy(self._name, _DESTROY_S * self.plan.timeout_factor)
        except Exception as error:  # whatever it is, the next arm must not run beside a leftover
            self.leftover = True
            self.evidence.keep(f"{self.arm}: its instance could not be removed: {error}\n")
        self._phase("destroy")


def clock_doubt(first: tuple[float, float, float], last: tuple[float, float, float]) -> str:
    """Return why two readings of an instance's clock can't belong to a true clock, or nothing.

    A reading is (host before, host after, instance). The instance was read somewhere between the
    two host times, so the host's time between the readings is known within bounds, and the rate as
    well; only when all of those rates are off is the clock. The instance's clock has 10 ms steps.
    """
    inside = last[2] - first[2]
    longest, shortest = last[1] - first[0], last[0] - first[1]
    fastest = (inside + 0.01) / shortest if shortest > 0 else float("inf")
    slowest = (inside - 0.01) / longest
    if slowest > 1 + _CLOCK_TOLERANCE or fastest < 1 - _CLOCK_TOLERANCE:
        return (
            f"its clock went on by {inside:.2f} s"
            f" while the host's did by {shortest:.2f} to {longest:.2f} s"
        )
    return ""
