# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every arm answers: the verbs, and the plain data that they take and give.

An arm is a place where work can run. A new technology is one new file beside
this one with a class that has these verbs, and a line in ``registry.py``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Builder, Versions

DEFAULT_OWNER = "default"


@dataclasses.dataclass(frozen=True)
class Image:
    """The one root file system and its exports, as paths on the host of the arm.

    :param rootfs: block device or raw file with the ext4 root file system, used read-only.
    :param kernel: kernel of virtual machines, unpacked; ``vmlinuz`` beside it is the same one, packed.
    :param initrd: small initrd of virtual machines.
    :param container: image archive that ``docker load`` takes.
    :param reference: name of the container image, e.g. ``vcompare/guest:0123456789ab``.
    :param digest: tree digest, ``sha256:…``; empty when unknown.
    :param quick_digest: digest over names, types, modes, sizes and link targets only.
    """

    rootfs: str
    kernel: str = ""
    initrd: str = ""
    container: str = ""
    reference: str = ""
    digest: str = ""
    quick_digest: str = ""


@dataclasses.dataclass(frozen=True)
class InstanceSpec:
    """What an instance shall be; the same for every arm.

    :param name: unique on the host, ``vc-`` first.
    :param owner: who it belongs to (lab or run), part of the marker.
    :param vcpus: virtual CPUs, or the number of CPUs that a cpuset holds it to.
    :param memory_mib: memory in MiB, by VM size or cgroup.
    :param image: the root file system; None for a machine that boots from a disk of its own.
    :param command: the application; empty for none (the instance then idles).
    :param cpuset: host CPUs for it in the kernel's list format, e.g. ``1`` or ``2-3``;
        empty: the last ``vcpus`` CPUs of the host.
    :param unlimited: as the technology delivers an instance to somebody who asks for no limits: on any CPU of the
        host, and without a bound on the memory of a container.
    :param data_mib: size of a writable file system of its own at ``/mnt``, which lies on the host's disk; 0: none.
        Where an instance shares the host's kernel it is a folder of the host, which has no bound.
    :param options: what only this arm understands (``docker:``, ``kvm:``, ``xen:``).
    """

    name: str
    owner: str = DEFAULT_OWNER
    vcpus: int = 1
    memory_mib: int = 256
    image: Image | None = None
    command: tuple[str, ...] = ()
    cpuset: str = ""
    unlimited: bool = False
    data_mib: int = 0
    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Info:
    """What an instance is now.

    :param state: ``absent``, ``stopped``, ``running`` or ``broken`` (half-made).
    :param address: IPv4 address that the host reaches it at; empty when it has none.
    :param ours: whether it carries our marker.
    :param details: the arm's own words (container id, domain uuid, domid, …).
    """

    name: str
    arm: str
    state: str
    address: str = ""
    ours: bool = True
    vcpus: int | None = None
    memory_mib: int | None = None
    details: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """A command that ran inside an instance.

    :param host_elapsed_s: seconds of the host's monotonic clock between the command's begin and end
        as heard by the host: without the way into the instance.
    :param guest_elapsed_s: the same by the instance's own clock (``/proc/uptime``: 10 ms steps).
    :param clock: the instance's clock at the command's begin, and two readings of the host's that it
        lies between: (host before, host after, instance), in seconds.
    """

    rc: int
    stdout: str
    stderr: str
    host_elapsed_s: float
    guest_elapsed_s: float | None
    clock: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Destination:
    """Another host that a running instance shall go on on.

    :param address: that the host is reached at; ``program`` is called like ssh, and gets to it.
    """

    address: str
    program: str


@dataclasses.dataclass(frozen=True)
class Proof:
    """One independent observation of what an arm is.

    :param source: ``inside`` (read in the instance) or ``outside`` (asked of the host).
    """

    name: str
    source: str
    expected: str
    observed: str
    holds: bool


@dataclasses.dataclass(frozen=True)
class System:
    """A system that is not ours.

    :param path: its file on this host.
    :param console: what it is seen by on its serial console, as a regular expression.
    :param boot: ``kernel``: started in place of a kernel; ``disk``: the machine boots from it, and can't write to it.
    :param linux: whether its kernel is Linux.
    :param cmdline: what it is told when it starts in place of a kernel.
    :param firmware: ``bios`` or ``uefi``.
    :param memory_mib: what it needs; 0: as much as any instance.
    :param ready_s: by when it must be seen, on an ordinary machine.
    """

    name: str
    path: str
    console: str
    boot: str = "kernel"
    linux: bool = False
    cmdline: str = ""
    firmware: str = "bios"
    memory_mib: int = 0
    ready_s: float = 60.0


class Backend(t.Protocol):
    """The verbs. Each is idempotent, has a deadline, and leaves nothing behind when it fails."""

    arm: str
    # Whether instances boot a kernel of their own.
    own_kernel: bool
    # What works for an instance and is none of its tasks, in words.
    untraced: str
    # Words of the technology itself when it can't start a system of another kind.
    refuses_systems: tuple[str, ...]

    def address(self, spec: InstanceSpec) -> str:
        """Return the IPv4 address that the instance has or will have: the same before it exists."""

    def host_address(self) -> str:
        """Return the IPv4 address that instances reach the host at."""

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""

    def prepare(self, spec: InstanceSpec) -> None:
        """Do what a start-up time must not count; call it before any clock runs.

        That is what belongs to no instance (load the container image, make keys, a bridge), and the
        instance's own files (initrd with its seed, configuration). ``create`` makes up for it.
        """

    def create(self, spec: InstanceSpec, timeout_s: float) -> Info:
        """Make the instance and start it; return when it was started, not when it is ready."""

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to start a system that is not ours in place of the image.

        It is seen on its console, if at all: ``run`` does not work.

        :raises NotPossible: there is no way to try that.
        """

    def wait_ready(self, spec: InstanceSpec, timeout_s: float) -> float:
        """Wait until ``run`` works; return the seconds that it took."""

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command inside the instance as root, from ``/``, without a shell."""

    def stop(self, name: str, timeout_s: float) -> bool:
        """Stop it cleanly, by force when the time is up; return whether something changed."""

    def destroy(self, name: str, timeout_s: float) -> bool:
        """Take away all of it, also what a failed create left; return whether that was any."""

    def info(self, name: str) -> Info:
        """Say what it is now."""

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console, if any."""

    def last_words(self, name: str) -> str:
        """Return what there is to read of an instance that ended: its console, and what ran it has to say."""

    def list(self) -> t.Sequence[Info]:
        """All instances of this arm that carry our marker."""

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""

    def files(self, name: str) -> t.Sequence[str]:
        """Return the files and folders of the host that belong to one instance alone; its own folder comes first."""

    def tasks(self, name: str) -> t.Mapping[int, str]:
        """Return the tasks (threads) of the host that do an instance's work, by number, with what they are.

        :raises NotPossible: they can't be told here.
        """

    def versions(self, spec: InstanceSpec, names: t.Sequence[str]) -> Versions:
        """Return what keeps versions of a state; they belong to an instance, and go with it.

        :param names: of the versions, in order.
        :raises NotPossible: the technology has no such thing.
        """

    def builder(self, spec: InstanceSpec) -> Builder:
        """Return what builds images by a recipe; they belong to an instance, and go with it.

        :raises NotPossible: the technology has no such thing.
        """

    def hidden_cpu(self, name: str, seconds: int) -> float:
        """Wait for so long, and return how many CPUs an instance kept busy that no process of the host shows.

        That is what a hypervisor gives it beside the host; zero where there is none.
        """

    def save(self, name: str, timeout_s: float) -> str:
        """Keep a running instance with its memory in a file, and end it; return the file's path.

        :raises NotPossible: the technology can't do that here.
        """

    def restore(self, name: str, timeout_s: float) -> None:
        """Have an instance go on from what ``save`` kept; that stays, and can be restored again."""

    def move(self, name: str, to: Destination, timeout_s: float) -> None:
        """Have a running instance go on on another host, which has laid ready for it.

        :raises NotPossible: the technology can't do that here.
        """

    def put_down(self, name: str, timeout_s: float) -> None:
        """End an instance at once, as a power cut would; its files stay."""
