# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What virtual machines have in common, whatever the hypervisor: a seed, ssh, a neighbour entry."""

from __future__ import annotations

import contextlib
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import data_disk, network, seed
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Builder, Versions
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    InstanceSpec,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.ssh import Keys, Ssh
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import (
    last_lines,
    wait_until,
)

# quiet: each line on a serial console costs an exit to the hypervisor a byte. panic=-1: reboot at
# once, which for our guests means to end; a guest that hangs would only be noticed at its
# deadline. pci=noearly: Linux looks twice through all of PCI for the quirks of chipsets that no guest
# has, and each of the thousands of looks leaves the guest.
_CMDLINE = "console={console} quiet panic=-1 pci=noearly vcompare.arm={arm}"


class Machine(Base):
    """A virtual machine that boots the image's kernel."""

    own_kernel = True
    console_device = ""
    # What the guest calls its second disk.
    data_device = ""

    @property
    def keys(self) -> Keys:
        """The ssh keys of this host, or those that its guests have in common with another host's."""
        return Keys(str(self.options.get("keys_dir") or self.store.state_dir))

    def initrd(self, name: str) -> str:
        """Return the path of an instance's own initrd."""
        return f"{self.store.folder(name)}/initrd.img"

    def console_log(self, name: str) -> str:
        """Return the path of an instance's console log."""
        return f"{self.store.folder(name)}/console.log"

    def memory_file(self, name: str) -> str:
        """Return the path of what an instance is kept in."""
        return f"{self.store.folder(name)}/memory"

    def versions(self, spec: InstanceSpec, names: t.Sequence[str]) -> Versions:
        """Return what keeps versions of a second disk."""
        # Imported when it is asked for, as backends are (registry.py).
        from ansible_collections.vcompare.lab.plugins.module_utils._arms import machine_making

        return machine_making.DiskVersions(self, spec, names)

    def builder(self, spec: InstanceSpec) -> Builder:
        """Return what builds images of a disk."""
        from ansible_collections.vcompare.lab.plugins.module_utils._arms import machine_making

        return machine_making.DiskBuilder(self, spec)

    def with_disk(self, path: str) -> dict[str, t.Any]:
        """Return the options of a machine with a second disk, in QEMU's format (qcow2)."""
        raise NotPossible(f"{self.arm} has no second disk")

    def switch_disk(self, name: str, path: str, place: str, timeout_s: float) -> None:
        """Have the second disk's writes go to another layer, which stands on the one that is written to.

        :param place: where the guest has it mounted.
        """
        raise NotPossible(f"{self.arm} has no second disk")

    def save(self, name: str, timeout_s: float) -> str:
        """Keep a running instance with its memory in a file, and end it; return the file's path."""
        self._hang_up(name)
        path = self.memory_file(name)
        self._save(name, path, timeout_s)
        return path

    def restore(self, name: str, timeout_s: float) -> None:
        """Have an instance go on from what ``save`` kept."""
        # A connection of its other life would be waited for in vain.
        self._hang_up(name)
        self._restore(name, self.memory_file(name), timeout_s)

    def move(self, name: str, to: Destination, timeout_s: float) -> None:
        """Have a running instance go on on another host."""
        self._hang_up(name)
        self._move(name, to, timeout_s)

    def _hang_up(self, name: str) -> None:
        """Close the connection, where there is one."""
        record = self._record(name)
        if record is not None and record["spec"]["image"] is not None:
            self._ssh(name).close()

    def _save(self, name: str, path: str, timeout_s: float) -> None:
        raise NotImplementedError

    def _restore(self, name: str, path: str, timeout_s: float) -> None:
        raise NotImplementedError

    def _move(self, name: str, to: Destination, timeout_s: float) -> None:
        raise NotImplementedError

    def cmdline(self, spec: InstanceSpec) -> str:
        """Return the kernel's command line."""
        words = [_CMDLINE.format(console=self.console_device, arm=self.arm)]
        if spec.options.get("cmdline"):
            words.append(str(spec.options["cmdline"]))
        return " ".join(words)

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console."""
        return last_lines(self.console_log(name))

    def _prepare_host(self, spec: InstanceSpec) -> None:
        if spec.image is None:
            return
        self.store.ensure()
        self.keys.ensure()
        for what, path in (
            ("root file system", spec.image.rootfs),
            ("kernel", spec.image.kernel),
            ("initrd", spec.image.initrd),
        ):
            if not path or not Path(path).exists():
                raise BackendError(
                    f"{spec.name}: the image's {what} is not there ({path or 'no path was given'})",
                    remedy="Build the image, or attach it to this host.",
                )

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        if spec.image is None:
            return
        self.keys.ensure()
        if spec.data_mib:
            data_disk.make_file(self.store.folder(spec.name), spec.name, spec.data_mib)
        values = {
            "VC_NAME": spec.name,
            "VC_ARM": self.arm,
            "VC_ADDRESS": f"{record['address']}/{self.subnet.prefix_length}",
            "VC_GATEWAY": self.subnet.gateway,
            "VC_MAC": record["mac"],
            "VC_DATA": self.data_device if spec.data_mib else "",
        }
        seed.write_initrd(
            spec.image.initrd, self.initrd(spec.name), seed.files(self.keys, values, spec.command)
        )
        network.set_neighbour(self.subnet, record["address"], record["mac"])

    def _ssh(self, name: str) -> Ssh:
        record = self._record(name)
        if record is None:
            raise BackendError(
                f"{self.arm}: there is no {name}", remedy="Create it first (state: present)."
            )
        if record["spec"]["image"] is None:
            raise BackendError(
                f"{self.arm}: {name} boots from a disk of its own, so commands can't be run "
                f"in it from here"
            )
        return Ssh(self.keys, name, record["address"], f"{self.store.folder(name)}/ssh")

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command inside the instance as root, from ``/``, without a shell."""
        return self._ssh(name).run(argv, timeout_s)

    def wait_ready(self, spec: InstanceSpec, timeout_s: float) -> float:
        """Wait until ``run`` works; return the seconds that it took."""
        begin = time.monotonic()
        ssh = self._ssh(spec.name)
        while not ssh.listening(2.0):
            state = self.info(spec.name).state
            if state != "running" or time.monotonic() - begin > timeout_s:
                raise BackendError(
                    f"{spec.name} took no connection within {time.monotonic() - begin:.1f} s "
                    f"of {timeout_s:g} s; it is {state}",
                    remedy="See its console below; on a slow host, give it more time.",
                    evidence=self.console(spec.name),
                )
        listening = time.monotonic() - begin
        return listening + super().wait_ready(spec, max(timeout_s - listening, 1.0))

    def _power_off_from_inside(self, name: str, timeout_s: float) -> bool:
        """Ask the instance's own init to power off; return whether it was gone in time."""
        # The machine may be gone before the command's end is heard, or hang: waiting tells.
        with contextlib.suppress(BackendError):
            # Our init powers off on SIGTERM, and knows no power button; systemd would only start anew on it.
            words = "if [ -d /run/systemd/system ]; then systemctl --no-block poweroff; else kill -TERM 1; fi"
            self._ssh(name).run(["/bin/sh", "-c", words], min(timeout_s, 60))

        def gone() -> bool:
            live = self._look(name, self.store.read(name))
            return live is None or live.state == "stopped"

        return wait_until(gone, timeout_s, 0.2)

    def _remove_way_in(self, name: str, record: Record | None) -> None:
        """Close the connection and take away the neighbour entry."""
        self._hang_up(name)
        if record is not None and record["spec"]["image"] is not None:
            network.drop_neighbour(self.subnet, record["address"])
