# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service of Docker's daemon, under systemd."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

UNIT = "docker.service"
_ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclasses.dataclass(frozen=True)
class ServiceState:
    """What systemd says; without systemd ``managed`` is False, and nothing else counts."""

    managed: bool
    loaded: bool = True
    masked: bool = False
    enabled: bool = True
    active: bool = False
    flags: tuple[str, ...] = ()


class Service:
    """Docker's unit. Every call has a deadline."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def state(self) -> ServiceState:
        """Ask once for everything."""
        if not os.path.isdir("/run/systemd/system"):
            return ServiceState(managed=False)
        names = "LoadState,ActiveState,UnitFileState,MainPID,ExecStart"
        done = self._systemctl("show", UNIT, "--property", names)
        if done.returncode:
            raise VcompareError(f"systemd does not tell of {UNIT}: {done.stderr.strip()}")
        said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        return ServiceState(
            managed=True,
            loaded=said.get("LoadState") != "not-found",
            masked=said.get("LoadState") == "masked",
            enabled=said.get("UnitFileState") in {"enabled", "static", "generated", "alias"},
            active=said.get("ActiveState") == "active",
            flags=_flags(said.get("MainPID", "0"), said.get("ExecStart", "")),
        )

    def started(self) -> str:
        """What tells a start of the daemon from any other; empty where it does not run, or systemd does not."""
        if not self.state().active:
            return ""
        return self._systemctl("show", UNIT, "--property", "InvocationID", "--value").stdout.strip()

    def enable(self) -> None:
        """Have it started at boot."""
        done = self._systemctl("enable", UNIT)
        if done.returncode:
            raise VcompareError(f"{UNIT} can't be enabled: {done.stderr.strip()}")

    def restart(self) -> str:
        """Start it anew; an empty text, or what systemd said when that failed."""
        # A daemon that failed a few times may not be started again before this; its socket neither.
        self._systemctl("reset-failed", UNIT, "docker.socket")
        try:
            done = self._systemctl("restart", UNIT)
        except VcompareError as error:
            return error.message
        if done.returncode == 0:
            return ""
        # The lines after the first name commands for a person at a terminal.
        return (done.stderr.strip() or "systemctl restart failed").splitlines()[0].rstrip(".")

    def journal(self, since: float) -> str:
        """Its last lines since a time (seconds of the epoch)."""
        command = ["journalctl", "--unit", UNIT, "--no-pager", "--output", "cat"]
        try:
            done = subprocess.run(
                # With --since, --lines would give the first ones.
                [*command, "--since", f"@{int(since)}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        except (OSError, subprocess.TimeoutExpired):
            return "(the journal can't be read)"
        lines = [line for line in done.stdout.splitlines() if "level=debug" not in line]
        return "\n".join(lines[-15:])

    def _systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=self._timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise VcompareError(
                f"systemctl {arguments[0]} did not end within {self._timeout_s:g} s"
            ) from error


def find_dockerd(required: bool = True) -> str:
    """Docker's daemon; empty where it is not required and not installed.

    :raises VcompareError: when it is not installed.
    """
    path = shutil.which("dockerd", path=os.pathsep.join([os.environ.get("PATH", ""), _ADMIN_PATH]))
    if path is None and required:
        raise VcompareError(
            "Docker's daemon, dockerd, is not installed.",
            "Install it (Debian: apt-get install docker.io).",
        )
    return path or ""


def check_apparmor(root: pathlib.Path = pathlib.Path("/"), path: str | None = None) -> None:
    """Refuse a host on which every container would fail to start.

    :raises VcompareError: when the kernel has AppArmor, and its parser is missing.
    """
    try:
        enabled = (root / "sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        enabled = False
    searched = os.pathsep.join([os.environ.get("PATH", ""), _ADMIN_PATH]) if path is None else path
    if enabled and shutil.which("apparmor_parser", path=searched) is None:
        raise VcompareError(
            "This kernel has AppArmor, and apparmor_parser is missing: Docker could start no"
            " container.",
            "Install it (Debian: apt-get install apparmor).",
        )


def _flags(pid: str, exec_start: str) -> tuple[str, ...]:
    """The daemon's arguments: those of the running one, else those of the unit."""
    if pid not in {"", "0"}:
        try:
            raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            return tuple(part.decode(errors="replace") for part in raw.split(b"\0")[1:] if part)
        except OSError:
            pass
    found = re.search(r"argv\[\]=(.*?) ;", exec_start)
    # What a variable holds is known only to systemd.
    return tuple(
        part for part in (found.group(1).split()[1:] if found else []) if not part.startswith("$")
    )
