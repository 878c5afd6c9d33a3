# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the verbs of all arms have in common: journal, record, marker, cleaning up."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset, data_disk, proofs
from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Builder, Versions
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import (
    check_name,
    check_owner,
    foreign,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import Subnet, of_host
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    Info,
    InstanceSpec,
    Proof,
    Result,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record, Store
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import remaining

_OBSERVE_TIMEOUT_S = 300


@dataclasses.dataclass(frozen=True)
class Live:
    """What the technology itself says of an instance.

    :param state: ``stopped``, ``running`` or ``broken``.
    :param owner: from the marker; empty when there is none, and the thing is not ours then.
    """

    state: str
    owner: str
    vcpus: int | None = None
    memory_mib: int | None = None
    details: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def _given(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return options without those that are None, at any depth: not given is not given."""

    def clean(value: t.Any) -> t.Any:
        if isinstance(value, t.Mapping):
            return {key: clean(item) for key, item in sorted(value.items()) if item is not None}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    return t.cast("dict[str, t.Any]", clean(options))


def describe(spec: InstanceSpec) -> dict[str, t.Any]:
    """Return what an instance shall be as plain data: for the record, comparing and the diff."""
    image = None
    if spec.image is not None:
        fields = ("rootfs", "kernel", "initrd", "container", "reference", "digest")
        image = {field: getattr(spec.image, field) for field in fields}
    return {
        "owner": spec.owner,
        "vcpus": spec.vcpus,
        "memory_mib": spec.memory_mib,
        "cpuset": spec.cpuset,
        "unlimited": spec.unlimited,
        # Not where there is none, so that what was made before there were any is still the same.
        **({"data_mib": spec.data_mib} if spec.data_mib else {}),
        "command": list(spec.command),
        "image": image,
        "options": _given(spec.options),
    }


class Base:
    """The verbs, as far as they are the same everywhere; a subclass has the hooks.

    :param state_dir: the state folder of the host.
    :param options: what the connection needs, e.g. ``{"uri": …}``.
    """

    arm = ""
    own_kernel = False
    untraced = "not traced: what the kernel does in the context of other tasks"
    refuses_systems: tuple[str, ...] = ()
    subnet = Subnet("127.0.0.0/24")

    def __init__(
        self,
        state_dir: str = STATE_DIR,
        journal: Journal | None = None,
        options: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self.store = Store(state_dir)
        self.subnet = of_host(type(self).subnet, state_dir)
        self.journal = journal or Journal(f"{state_dir}/journal.jsonl")
        self.options: t.Mapping[str, t.Any] = _given(options or {})
        self._staged: set[str] = set()

    # Hooks

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        raise NotImplementedError

    def _host_cpus(self) -> frozenset[int] | None:
        """Return the CPUs that instances can be held to; None: those that are online here."""
        return None

    def _prepare_host(self, spec: InstanceSpec) -> None:
        """Do what belongs to no instance."""

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        """Make the files that an instance needs, in its folder; the record may be added to."""

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        """Make and start the instance; return its details. It may be there, stopped."""
        raise NotImplementedError

    def _look(self, name: str, record: Record | None) -> Live | None:
        """Ask the technology; None when it knows nothing of that name."""
        raise NotImplementedError

    def _live_names(self) -> t.Iterable[str]:
        """Names of everything with our marker that the technology knows of."""
        return ()

    def _stop(self, name: str, record: Record | None, timeout_s: float) -> None:
        """Stop it cleanly, or else by force; the files stay."""
        raise NotImplementedError

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        """Take away all but the folder; every part of it may be missing."""
        raise NotImplementedError

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command inside the instance as root, from ``/``, without a shell."""
        raise NotImplementedError

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        raise NotImplementedError

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside.

        :param facts: what was observed inside.
        :param host: what was observed of the host.
        """
        raise NotImplementedError

    def observe(self, name: str) -> proofs.Facts:
        """Observe from inside an instance where it runs."""
        return proofs.parse(self.run(name, proofs.OBSERVE_ARGV, _OBSERVE_TIMEOUT_S))

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console, if any."""
        return ""

    def last_words(self, name: str) -> str:
        """Return what there is to read of an instance that ended: its console, and what ran it has to say."""
        return "\n".join(filter(None, [self.console(name), self._log(name)]))

    def _log(self, name: str) -> str:
        """Return the last lines of what the technology itself wrote about an instance, if it does so."""
        return ""

    # Verbs

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to start a system that is not ours in place of the image."""
        raise NotPossible(f"{self.arm} has no way to start another system")

    def files(self, name: str) -> t.Sequence[str]:
        """Return the files and folders of the host that belong to one instance alone."""
        return [str(self.store.folder(check_name(name)))]

    def host_address(self) -> str:
        """Return the IPv4 address that instances reach the host at."""
        return self.subnet.gateway

    def hidden_cpu(self, name: str, seconds: int) -> float:
        """Wait for so long; whatever an instance does is done by processes of the host."""
        time.sleep(seconds)
        return 0.0

    def tasks(self, name: str) -> t.Mapping[int, str]:
        """Return the tasks (threads) of the host that do an instance's work, by number, with what they are."""
        raise NotPossible(f"{self.arm} does not say which of the host's tasks work for an instance")

    def versions(self, spec: InstanceSpec, names: t.Sequence[str]) -> Versions:
        """Return what keeps versions of a state, which belong to an instance."""
        raise NotPossible(f"{self.arm} keeps no versions of a state")

    def builder(self, spec: InstanceSpec) -> Builder:
        """Return what builds images, which belong to an instance."""
        raise NotPossible(f"{self.arm} builds no images")

    def save(self, name: str, timeout_s: float) -> str:
        """Keep a running instance with its memory in a file, and end it; return the file's path."""
        raise NotPossible(f"{self.arm} has no snapshots with memory")

    def restore(self, name: str, timeout_s: float) -> None:
        """Have an instance go on from what ``save`` kept."""
        raise NotPossible(f"{self.arm} has no snapshots with memory")

    def move(self, name: str, to: Destination, timeout_s: float) -> None:
        """Have a running instance go on on another host."""
        raise NotPossible(f"{self.arm} can't move a running instance")

    def put_down(self, name: str, timeout_s: float) -> None:
        """End an instance at once, as a power cut would; its files stay."""
        self._stop(name, self._record(name), timeout_s)

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return the specification with this host's defaults; refuse what can't be."""
        check_name(spec.name)
        check_owner(spec.owner)
        if spec.vcpus < 1 or spec.memory_mib < 32:
            raise BackendError(
                f"{spec.name}: {spec.vcpus} CPUs and {spec.memory_mib} MiB are too little for "
                f"anything"
            )
        data_disk.check(spec)
        return dataclasses.replace(spec, cpuset=cpuset.of(spec, self._host_cpus()))

    def address(self, spec: InstanceSpec) -> str:
        """Return the IPv4 address that the instance has or will have."""
        record = self.store.read(check_name(spec.name))
        if record is not None and record["arm"] == self.arm:
            return str(record["address"])
        if spec.options.get("address"):
            return str(spec.options["address"])
        others = (other for other in self.store.records() if other["name"] != spec.name)
        return self.subnet.address(spec.name, {other.get("address", "") for other in others})

    def prepare(self, spec: InstanceSpec) -> None:
        """Do what a start-up time must not count; call it before any clock runs."""
        reason = self.available()
        if reason:
            raise BackendError(f"{self.arm}: {reason}")
        spec = self.resolve(spec)
        self._prepare_host(spec)
        self._lay_ready(spec)

    def _refuse_foreign(self, name: str, live: Live | None) -> None:
        if live is not None and not live.owner:
            raise foreign(self.arm, name)

    def _lay_ready(self, spec: InstanceSpec) -> Record:
        """Record the instance and make its files, unless that was done; return the record."""
        with self.store.lock():
            record = self.store.read(spec.name)
            if record is not None and record["arm"] != self.arm:
                raise BackendError(
                    f"{spec.name} exists already, as an instance of {record['arm']}",
                    remedy="Choose another name, or remove that instance first (state: absent).",
                )
            live = self._look(spec.name, record)
            self._refuse_foreign(spec.name, live)
            wanted = describe(spec)
            if record is not None and record["spec"] == wanted:
                self._staged.add(spec.name)
                return record
            if live is not None:
                raise BackendError(
                    f"{self.arm}: {spec.name} exists already and is something else",
                    remedy="Remove it first (state: absent).",
                )
            address = self.address(spec)
            record = {
                "arm": self.arm,
                "name": spec.name,
                "owner": spec.owner,
                "address": address,
                "mac": spec.options.get("mac") or self.subnet.mac(address),
                "spec": wanted,
                "started": False,
            }
            self.journal.create(self.arm, spec.name, spec.owner, address=address)
            self.store.write(record)
        try:
            self._stage(spec, record)
            self.store.write(record)
        except BaseException:
            self._discard(spec.name)
            raise
        self._staged.add(spec.name)
        return record

    def create(self, spec: InstanceSpec, timeout_s: float) -> Info:
        """Make the instance and start it; return when it was started, not when it is ready."""
        deadline = time.monotonic() + timeout_s
        spec = self.resolve(spec)
        # What was laid ready by this very process is not looked at again: that look would be timed.
        record = self.store.read(spec.name) if spec.name in self._staged else None
        stopped = False
        if record is None or record["spec"] != describe(spec) or record["started"]:
            record = self._lay_ready(spec)
            live = self._look(spec.name, record)
            if live is not None and live.state == "running":
                return self.info(spec.name)
            if live is not None and live.state == "broken":
                self._remove(spec.name, record, live, remaining(deadline))
                self._stage(spec, record)
            else:
                stopped = live is not None
        record["started"] = True
        self.store.write(record)
        try:
            details = self._start(spec, record, remaining(deadline))
        except BaseException as error:
            evidence = self.console(spec.name)
            if not stopped:  # what was there before stays: it may hold data
                self._discard(spec.name)
            if isinstance(error, BackendError) and evidence and not error.evidence:
                error.evidence = evidence
            raise
        return Info(
            name=spec.name,
            arm=self.arm,
            state="running",
            address=record["address"],
            vcpus=spec.vcpus,
            memory_mib=spec.memory_mib,
            details=details,
        )

    def _discard(self, name: str) -> None:
        """Take away what a failed attempt left; its own error matters more than one in here."""
        # What can't be taken away stays in the journal, and `absent` or the next run gets it.
        with contextlib.suppress(BackendError):
            self.destroy(name, 120)

    def wait_ready(self, spec: InstanceSpec, timeout_s: float) -> float:
        """Wait until ``run`` works; return the seconds that it took."""
        begin = time.monotonic()
        last_look = begin
        tried = 0
        problem = ""
        while True:
            left = timeout_s - (time.monotonic() - begin)
            if left <= 0:
                break
            try:
                tried += 1
                if self.run(spec.name, ["true"], max(left, 1)).rc == 0:
                    return time.monotonic() - begin
                problem = "true returned an error"
            except BackendError as error:
                problem = error.message
            if time.monotonic() - last_look > 2:
                last_look = time.monotonic()
                state = self.info(spec.name).state
                if state != "running":
                    problem = f"it is {state}"
                    break
            time.sleep(0.05)
        raise BackendError(
            f"{spec.name} was not ready within {timeout_s:g} s ({tried} attempts); the last "
            f"one: {problem}",
            remedy="See its console below; on a slow host, give it more time.",
            evidence=self.console(spec.name),
        )

    def stop(self, name: str, timeout_s: float) -> bool:
        """Stop it cleanly, by force when the time is up; return whether something changed."""
        record = self._record(name)
        live = self._look(name, record)
        self._refuse_foreign(name, live)
        if live is None or live.state == "stopped":
            return False
        self._stop(name, record, timeout_s)
        return True

    def destroy(self, name: str, timeout_s: float) -> bool:
        """Take away all of it, also what a failed create left; return whether that was any."""
        check_name(name)
        record = self._record(name)
        live = self._look(name, record)
        self._refuse_foreign(name, live)
        pending = any(entry["id"] == name for entry in self.journal.pending(self.arm))
        if live is None and not self.store.exists(name) and not pending:
            return False
        self._remove(name, record, live, timeout_s)
        self.store.remove(name)
        self._staged.discard(name)
        if pending:
            self.journal.gone(self.arm, name, str((record or {}).get("owner", "")))
        return True

    def tidy(self, timeout_s: float) -> None:
        """Take away what instances shared, once no instance needs it; measuring keeps it from turn to turn."""

    def _record(self, name: str) -> Record | None:
        record = self.store.read(name)
        if record is not None and record["arm"] != self.arm:
            raise BackendError(f"{name} is an instance of {record['arm']}, not of {self.arm}")
        return record

    def info(self, name: str) -> Info:
        """Say what it is now."""
        record = self.store.read(check_name(name))
        if record is not None and record["arm"] != self.arm:
            record = None
        live = self._look(name, record)
        address = str(record["address"]) if record else ""
        if live is None:
            if record is None:
                return Info(name, self.arm, "absent", ours=False)
            # laid ready but never started: half-made
            state = "stopped" if record["started"] else "broken"
            return Info(name, self.arm, state, address, details={"owner": record["owner"]})
        return Info(
            name=name,
            arm=self.arm,
            state=live.state,
            address=address,
            ours=bool(live.owner),
            vcpus=live.vcpus,
            memory_mib=live.memory_mib,
            details={"owner": live.owner, **live.details},
        )

    def list(self) -> t.Sequence[Info]:
        """All instances of this arm that carry our marker."""
        names = {record["name"] for record in self.store.records() if record["arm"] == self.arm}
        names.update(self._live_names())
        return [
            info for info in map(self.info, sorted(names)) if info.ours and info.state != "absent"
        ]

    def differences(self, spec: InstanceSpec) -> dict[str, tuple[t.Any, t.Any]]:
        """Return what differs between the instance that is there and what it shall be.

        :return: before and after, by the name of the parameter; empty when there is none or
            nothing differs.
        """
        record = self._record(spec.name)
        if record is None:
            return {}
        before, after = dict(record["spec"]), describe(self.resolve(spec))
        info = self.info(spec.name)
        # what the arm says itself counts more than what we once asked for
        before["vcpus"] = info.vcpus or before["vcpus"]
        before["memory_mib"] = info.memory_mib or before["memory_mib"]
        return {
            key: (before.get(key), after.get(key))
            for key in {**before, **after}
            if before.get(key) != after.get(key)
        }
