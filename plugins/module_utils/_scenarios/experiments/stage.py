# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the steps of experiments work with: the arm's instance, and further ones that go at the end of its turn."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset, registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Backend,
    Image,
    InstanceSpec,
    Result,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions, freed, neighbour
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import (
    applications,
    readiness,
    starting,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.evidence import Evidence
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.client import Peer

_DESTROY_S = 60.0


class Stage:
    """An arm in its turn, as a step of an experiment finds it.

    :param spec: of the instance that runs.
    :param before: the host just before that was made.
    :param factor: how much slower than an ordinary machine this host may be.
    :param seconds: how long work of fixed time shall last.
    :param images: further images that this host has, by their role (docs/experiments.md).
    :param peer: the second host of this arm's technology; None where there is none.
    """

    def __init__(
        self,
        backend: Backend,
        spec: InstanceSpec,
        before: host.State,
        evidence: Evidence,
        *,
        factor: float,
        seconds: int,
        images: t.Mapping[str, Image] | None = None,
        peer: Peer | None = None,
    ) -> None:
        self.backend, self.spec, self.before = backend, spec, before
        self.evidence, self.factor, self.seconds = evidence, factor, seconds
        self.images = dict(images or {})
        self.peer = peer
        # the names of further instances, in the order in which they were thought of
        self.company: dict[str, InstanceSpec] = {}
        # what the further ones carry
        self._applications: dict[str, applications.Application] = {}
        self._beside: InstanceSpec | None = None
        # processes of the host's own, for what is done from outside: (backend, name)
        self._outside: list[tuple[Backend, str]] = []
        self._reached = {spec.name}
        # what a step leaves for a later one of the same experiment
        self.notes: dict[str, t.Any] = {}

    def run(self, argv: t.Sequence[str], timeout_s: float, name: str = "") -> Result:
        """Run a command in the instance, or in another one of ours; keep it as evidence.

        :param timeout_s: on an ordinary machine.
        """
        name = name or self.spec.name
        if name not in self._reached:
            self.backend.wait_ready(self.company[name], starting.READY_S * self.factor)
            self._reached.add(name)
        result = self.backend.run(name, argv, timeout_s * self.factor)
        self.evidence.keep_result(argv, result)
        return result

    def another(
        self,
        tag: str,
        application: applications.Application = applications.REDIS,
        **changes: t.Any,
    ) -> InstanceSpec:
        """Return the specification of one more instance, which goes at the end of the turn with everything else.

        It has no data disk, whatever the first one has, unless one is asked for.
        """
        changes = {"data_mib": 0, **changes}
        spec = dataclasses.replace(self.spec, name=f"{self.spec.name}-{tag}", command=(), **changes)
        address = self.backend.address(spec)
        spec = dataclasses.replace(spec, command=application.command(address))
        self.company[spec.name] = spec
        self._applications[spec.name] = application
        return spec

    def prepared(
        self,
        tag: str,
        application: applications.Application = applications.REDIS,
        **changes: t.Any,
    ) -> InstanceSpec:
        """Like :meth:`another`, and lay it ready.

        Of several that are only thought of before the first is made, two could be given the same address.
        """
        spec = self.another(tag, application, **changes)
        self.backend.prepare(spec)
        return spec

    def beside(self) -> InstanceSpec:
        """Have a second instance of the same size, with its application replying; the same one at each call."""
        if self._beside is None:
            spec = self.another("beside")
            self.fresh(spec)
            self._beside = spec
        return self._beside

    def fresh(self, spec: InstanceSpec) -> float:
        """Make one more instance; return the seconds from the call that creates to the first correct reply."""
        self.backend.prepare(spec)
        return self.started(spec)

    def fresh_together(self, specs: t.Sequence[InstanceSpec]) -> list[float]:
        """Make several at once; return for each the seconds from its call to its first correct reply."""
        for spec in specs:
            self.backend.prepare(spec)
        with (
            # Around those of the single starts: the last of them to end would put another one's setting back.
            neighbour.noticed_quickly(self.backend.address(specs[0])),
            concurrent.futures.ThreadPoolExecutor(max_workers=len(specs)) as pool,
        ):
            # As many looks a second as at a single start: three guests on an emulated host had three times as many to
            # answer, with a third of the CPU each, and never came to it.
            interval_s = readiness.INTERVAL_S * len(specs)
            return list(pool.map(lambda spec: self.started(spec, interval_s), specs))

    def started(self, spec: InstanceSpec, interval_s: float = readiness.INTERVAL_S) -> float:
        """Make what was laid ready; return the seconds from the call that creates to the first correct reply."""
        application = self._applications.get(spec.name, applications.REDIS)
        ready = starting.start(self.backend, spec, self.factor, interval_s, application)
        self.evidence.keep(f"{spec.name}: {ready.text()}\n")
        return ready.elapsed_s

    def outside(
        self, tag: str, command: t.Sequence[str] | t.Callable[[str], t.Sequence[str]] = ()
    ) -> InstanceSpec:
        """Have a process of the host's own, in the same root file system, on other CPUs than the instance's.

        What an experiment does from outside (load, probes, a proxy) so is the same program from the same file on every
        host. It goes at the end of the turn.

        :param command: what it runs, or makes that of the address that it has; it idles without one. See
            :meth:`run_outside`.
        """
        backend = registry.backend(registry.own_arm())
        spec = dataclasses.replace(
            self.spec,
            name=f"{self.spec.name}-{tag}",
            command=(),
            cpuset=self.other_cpus(),
            options={},
            data_mib=0,
        )
        words = command(backend.address(spec)) if callable(command) else command
        spec = dataclasses.replace(spec, command=tuple(words))
        self._outside.append((backend, spec.name))
        backend.prepare(spec)
        backend.create(spec, starting.CREATE_S * self.factor)
        return spec

    def run_outside(self, spec: InstanceSpec, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command beside what :meth:`outside` started; keep it as evidence.

        :param timeout_s: on an ordinary machine.
        """
        result = self.backend_outside(spec).run(spec.name, argv, timeout_s * self.factor)
        self.evidence.keep_result(argv, result)
        return result

    def gone_outside(self, spec: InstanceSpec) -> None:
        """Take away now what :meth:`outside` started."""
        mine = next(each for each in self._outside if each[1] == spec.name)
        mine[0].destroy(spec.name, _DESTROY_S * self.factor)
        self._outside.remove(mine)

    def backend_outside(self, spec: InstanceSpec) -> Backend:
        """Return the arm that what :meth:`outside` started belongs to."""
        return next(backend for backend, name in self._outside if name == spec.name)

    def image(self, role: str) -> Image:
        """Return a further image.

        :raises NotPossible: this host has none of that role.
        """
        if role not in self.images:
            raise NotPossible(
                f"the image {role} is not on this host: it is brought by the role measure where a scenario needs it"
            )
        return self.images[role]

    def foreign(self, system: System) -> InstanceSpec:
        """Return the specification of an instance that is another system; it goes at the end of the turn as well.

        :raises NotPossible: the technology has no way to try that.
        """
        tag = "".join(c for c in system.name.lower() if c.isascii() and c.isalnum())[:12]
        spec = dataclasses.replace(
            self.spec,
            name=f"{self.spec.name}-{tag}",
            command=(),
            memory_mib=system.memory_mib or self.spec.memory_mib,
        )
        spec = self.backend.foreign(spec, system)
        self.company[spec.name] = spec
        return spec

    def gone(self, spec: InstanceSpec) -> None:
        """Take one of them away now."""
        self.backend.destroy(spec.name, _DESTROY_S * self.factor)
        self.company.pop(spec.name, None)
        self._applications.pop(spec.name, None)
        self._reached.discard(spec.name)
        if self._beside is not None and self._beside.name == spec.name:
            self._beside = None

    def end(self) -> None:
        """Take everything away, the turn's own instance included; for steps that are the last of a turn."""
        trouble = self.close()
        if trouble:
            raise BackendError(f"{self.backend.arm}: not removed: {trouble}")
        self.backend.destroy(self.spec.name, _DESTROY_S * self.factor)

    def settle(self) -> None:
        """Have the host as it was just before the turn's own start.

        :raises NotPossible: other work keeps it busy.
        """
        freed.write_through(starting.FREED * self.spec.memory_mib)
        busy = conditions.wait_quiet(starting.QUIET_S * self.factor)
        if busy is None or busy > conditions.QUIET_CPUS:
            raise NotPossible(
                f"other work keeps {'an unknown number of' if busy is None else f'{busy:g}'} CPUs of the host busy"
            )

    def alive(self) -> bool:
        """Say whether the turn's own instance still runs commands."""
        try:
            return self.backend.run(self.spec.name, ["true"], 60.0 * self.factor).rc == 0
        except BackendError:
            return False

    def other_cpus(self) -> str:
        """Return CPUs that the instance isn't held to, in the kernel's list format; its own where none is left."""
        own = cpuset.parse(cpuset.of(self.spec))
        others = sorted(cpuset.online() - own)
        return cpuset.render(frozenset(others[: len(own)])) if others else cpuset.render(own)

    def close(self) -> str:
        """Take all further instances away; return what could not be, or nothing."""
        trouble = []
        for backend, name in self._outside:
            try:
                backend.destroy(name, _DESTROY_S * self.factor)
            except Exception as error:  # whatever it is, the others shall go all the same
                trouble.append(f"{name}: {error}")
        self._outside.clear()
        for spec in list(self.company.values()):
            try:
                self.gone(spec)
            except Exception as error:  # whatever it is, the others shall go all the same
                trouble.append(f"{spec.name}: {error}")
        return "; ".join(trouble)


@contextlib.contextmanager
def opened(stage: Stage, leftover: t.Callable[[str], None]) -> t.Iterator[Stage]:
    """Have further instances gone at the end, however it comes; what can't be removed is told to ``leftover``."""
    try:
        yield stage
    finally:
        trouble = stage.close()
        if trouble:
            leftover(trouble)
