# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Docker host in a folder: real files and a real socket; the daemon is a small server.

What the daemon does with an option is not imitated: the integration tests ask a real one.
"""

from __future__ import annotations

import copy
import http.server
import json
import pathlib
import socketserver
import threading
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import Api
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_engine import Engine
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    ServiceState,
)

INFO: dict[str, t.Any] = {
    "ServerVersion": "20.10.24",
    "Driver": "overlay2",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
    "LiveRestoreEnabled": False,
    "Debug": False,
    "LoggingDriver": "json-file",
    "DockerRootDir": "/var/lib/docker",
    "Labels": [],
    "Runtimes": {"runc": {"path": "runc"}},
    "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "Mirrors": [], "IndexConfigs": {}},
}

HELP_OLD = """
      --debug                  Enable debug mode
      --host list              Sockets
      --label list             Labels
      --live-restore           Live restore
      --log-driver string
      --log-opt map
      --storage-driver string
      --default-address-pool pool-options
      --insecure-registry list
"""


class Host:
    """The host, its daemon and its service."""

    def __init__(self, root: pathlib.Path) -> None:
        self.file = root / "etc/docker/daemon.json"
        self.socket = root / "docker.sock"
        self.dockerd = root / "dockerd"
        self.dockerd_is(HELP_OLD)
        self.systemd = ServiceState(managed=True, enabled=True, active=True, flags=("-H", "fd://"))
        self.restarts = 0
        self.enabled = 0
        # What a restart says, one after the other; then nothing.
        self.troubles: list[str] = []
        # Options that the daemon ignores.
        self.deaf_to: set[str] = set()
        self.loaded: dict[str, t.Any] = {}

    def dockerd_is(self, help_text: str, validate: str = "exit 0") -> None:
        """A daemon program that has this help, and this shell text as its validation."""
        self.dockerd.write_text(
            f"#!/bin/sh\nif [ \"$1\" = --help ]; then cat <<'END'\n{help_text}\nEND\nexit; fi\n"
            f"{validate}\n"
        )
        self.dockerd.chmod(0o755)

    def write(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        self.load()

    def load(self) -> None:
        """What the daemon does with its file when it starts."""
        self.loaded = json.loads(self.file.read_text()) if self.file.exists() else {}

    def answer(self, path: str) -> dict[str, t.Any]:
        info = copy.deepcopy(INFO)
        options = {key: value for key, value in self.loaded.items() if key not in self.deaf_to}
        info["Debug"] = options.get("debug", False)
        info["LiveRestoreEnabled"] = options.get("live-restore", False)
        info["Labels"] = options.get("labels", [])
        return {"/info": info, "/version": {"ApiVersion": "1.41"}}.get(path, {})

    # The verbs of a service.

    def state(self) -> ServiceState:
        return self.systemd

    def started(self) -> str:
        return f"start {self.restarts}" if self.systemd.active else ""

    def enable(self) -> None:
        self.enabled += 1

    def restart(self) -> str:
        self.restarts += 1
        if self.troubles:
            return self.troubles.pop(0)
        self.load()
        return ""

    def journal(self, _since: float) -> str:
        return "failed to start daemon"

    def engine(self, **wanted: t.Any) -> Engine:
        return Engine(
            config_file=str(self.file),
            wanted={key.replace("_", "-"): value for key, value in wanted.items()},
            dockerd=str(self.dockerd),
            service=t.cast(t.Any, self),
            api=Api(str(self.socket)),
            timeout_s=2,
        )


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    host: Host


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        body = json.dumps(self.server.host.answer(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: t.Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    made = Host(tmp_path)
    server = _Server(str(made.socket), _Handler)
    server.host = made
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
