# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a running Docker daemon says of itself, and whether options are in force.

Asked over its socket, since neither the client nor the Python SDK need be installed.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

SOCKET = "/run/docker.sock"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("docker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """The daemon behind a socket."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path

    def get(self, what: str, timeout_s: float = 60.0) -> dict[str, t.Any]:
        """Ask for one thing, e.g. ``/info``.

        :raises OSError: when nobody answers.
        :raises VcompareError: when the answer is none.
        """
        connection = _Connection(self.path, timeout_s)
        try:
            connection.request("GET", what)
            response = connection.getresponse()
            body = response.read()
        except http.client.HTTPException as error:
            raise VcompareError(f"Docker's answer to {what} is not HTTP: {error!r}.") from error
        finally:
            connection.close()
        if response.status != 200:
            raise VcompareError(
                f"Docker answered {what} with status {response.status}.",
                evidence=body.decode(errors="replace")[:500],
            )
        answer = json.loads(body)
        return answer if isinstance(answer, dict) else {}

    def answers(self) -> bool:
        """Whether a daemon is there."""
        try:
            self.get("/version", 10)
        except (OSError, VcompareError, ValueError):
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until it answers; False when it did not within the time."""
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        return True

    def state(self) -> DaemonState:
        """What it says of itself."""
        info = self.get("/info")
        try:
            bridge = self.get("/networks/bridge")
        except VcompareError:
            # There is none with bridge=none.
            bridge = {}
        return DaemonState(self.get("/version"), info, bridge)


@dataclasses.dataclass(frozen=True)
class DaemonState:
    """The daemon's own words: its answers to /version, /info and /networks/bridge."""

    version: dict[str, t.Any]
    info: dict[str, t.Any]
    bridge: dict[str, t.Any]

    def summary(self) -> dict[str, t.Any]:
        """What a user asks first."""
        info = self.info
        return {
            "version": info.get("ServerVersion"),
            "api_version": self.version.get("ApiVersion"),
            "storage_driver": info.get("Driver"),
            "cgroup_driver": info.get("CgroupDriver"),
            "cgroup_version": info.get("CgroupVersion"),
            "security_options": info.get("SecurityOptions") or [],
            "live_restore": info.get("LiveRestoreEnabled"),
            "default_address_pools": [
                {"base": pool.get("Base"), "size": pool.get("Size")}
                for pool in info.get("DefaultAddressPools") or []
            ],
        }

    def observe(self, key: str, wanted: t.Any) -> tuple[t.Any, bool] | None:
        """What is in force for one option, and whether that is what is wanted.

        :returns: None for an option that the daemon does not tell.
        """
        if key in _PLAIN:
            observed = self.info.get(_PLAIN[key])
            return None if observed is None else (observed, observed == wanted)
        reader = _READERS.get(key)
        return None if reader is None else reader(self, wanted)


def _registries(state: DaemonState, name: str) -> list[str]:
    return [str(entry) for entry in (state.info.get("RegistryConfig") or {}).get(name) or []]


def _mirrors(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    # The daemon adds the slash that a mirror's address lacks.
    observed = [mirror.rstrip("/") for mirror in _registries(state, "Mirrors")]
    return observed, observed == [str(mirror).rstrip("/") for mirror in wanted]


def _insecure(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    index = (state.info.get("RegistryConfig") or {}).get("IndexConfigs") or {}
    observed = _registries(state, "InsecureRegistryCIDRs")
    observed += [name for name, entry in index.items() if not entry.get("Secure", True)]
    return observed, set(map(str, wanted)) <= set(observed)


def _labels(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    observed = state.info.get("Labels") or []
    return observed, sorted(observed) == sorted(map(str, wanted))


def _exec_opts(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool] | None:
    drivers = [
        str(entry).partition("=")[2]
        for entry in wanted
        if str(entry).startswith("native.cgroupdriver=")
    ]
    if not drivers:
        return None
    observed = state.info.get("CgroupDriver")
    return f"native.cgroupdriver={observed}", observed == drivers[-1]


def _pools(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    observed = state.summary()["default_address_pools"]
    return observed, observed == [
        {"base": pool.get("base"), "size": pool.get("size")} for pool in wanted
    ]


def _runtimes(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    observed = sorted(state.info.get("Runtimes") or {})
    return observed, set(wanted) <= set(observed)


def _userns(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    options = [str(entry).partition(",")[0] for entry in state.info.get("SecurityOptions") or []]
    observed = "name=userns" in options
    return observed, observed == bool(wanted)


def _bip(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool] | None:
    for entry in (state.bridge.get("IPAM") or {}).get("Config") or []:
        if entry.get("Gateway") and ":" not in entry["Gateway"]:
            observed = f"{entry['Gateway']}/{entry.get('Subnet', '/').partition('/')[2]}"
            return observed, observed == wanted
    return None


def _data_root(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool]:
    # The daemon tells where a link leads.
    observed = str(state.info.get("DockerRootDir", ""))
    return observed, os.path.realpath(observed) == os.path.realpath(str(wanted))


def _mtu(state: DaemonState, wanted: t.Any) -> tuple[t.Any, bool] | None:
    observed = (state.bridge.get("Options") or {}).get("com.docker.network.driver.mtu")
    return None if observed is None else (int(observed), int(observed) == wanted)


_PLAIN = {
    "debug": "Debug",
    "default-runtime": "DefaultRuntime",
    "experimental": "ExperimentalBuild",
    "live-restore": "LiveRestoreEnabled",
    "log-driver": "LoggingDriver",
    "storage-driver": "Driver",
}
_READERS: dict[str, t.Callable[[DaemonState, t.Any], tuple[t.Any, bool] | None]] = {
    "bip": _bip,
    "data-root": _data_root,
    "default-address-pools": _pools,
    "exec-opts": _exec_opts,
    "insecure-registries": _insecure,
    "labels": _labels,
    "mtu": _mtu,
    "registry-mirrors": _mirrors,
    "runtimes": _runtimes,
    "userns-remap": _userns,
}
