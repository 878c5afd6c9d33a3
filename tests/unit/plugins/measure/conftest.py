# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small real servers, and an arm of real processes on this machine."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Builder, Versions
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    Info,
    InstanceSpec,
    Proof,
    Result,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from hypothesis import settings

# How long an example takes says more of this machine's other work than of ours.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

DIGEST = "sha256:" + "a" * 64
QUICK = "sha256:" + "b" * 64
IMAGE = Image(rootfs="/dev/null", digest=DIGEST, quick_digest=QUICK)
_LAST_BYTE = itertools.count(1)


@pytest.fixture
def address() -> str:
    """A loopback address that no other test uses."""
    return f"127.13.{os.getpid() % 200 + 1}.{next(_LAST_BYTE) % 250 + 1}"


Handler = Callable[[socket.socket], None]


@pytest.fixture
def serve(address: str) -> Iterator[Callable[[Handler, float], int]]:
    """Start a server after a delay; what it does with a connection is up to the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    kept: list[socket.socket] = []

    def start(handler: Handler, delay_s: float = 0.0) -> int:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = int(probe.getsockname()[1])

        def work() -> None:
            if stop.wait(delay_s):
                return
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                listener.listen(128)
                listener.settimeout(0.05)
                while not stop.is_set():
                    try:
                        connection, _peer = listener.accept()
                    except TimeoutError:
                        continue
                    kept.append(connection)
                    handler(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        threads.append(thread)
        return port

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for connection in kept:
        connection.close()


class LocalBackend:
    """An arm of plain processes on this machine: a real redis, real tools, nothing pretended.

    What a test wants to go wrong is set in its attributes.
    """

    own_kernel = False
    untraced = "not traced: nothing"
    refuses_systems: tuple[str, ...] = ("exec format error",)

    def __init__(self, arm: str, at: str) -> None:
        self.arm, self.at = arm, at
        self.addresses: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.owners: dict[str, str] = {}
        self.log: list[str] = []
        self.digests = {"full": DIGEST, "quick": QUICK}
        self.proofs = [Proof("process", "outside", "a process", "a process", True)]
        self.fail_on: dict[str, Exception] = {}
        self.outputs: dict[str, Result] = {}
        self.why_not = ""
        self.create_takes_s = 0.0
        self.clock_rate = 1.0

    def _step(self, verb: str) -> None:
        self.log.append(verb)
        if verb in self.fail_on:
            raise self.fail_on[verb]

    def address(self, spec: InstanceSpec) -> str:
        """The first instance has the arm's address, further ones have their own."""
        if not self.addresses:
            self.addresses[spec.name] = self.at
        taken = len(self.addresses)
        return self.addresses.setdefault(spec.name, f"{self.at.rpartition('.')[0]}.{100 + taken}")

    def host_address(self) -> str:
        return self.at

    def hidden_cpu(self, name: str, seconds: int) -> float:
        time.sleep(seconds)
        return 0.0

    def available(self) -> str:
        return self.why_not

    def prepare(self, spec: InstanceSpec) -> None:
        self._step("prepare")

    def create(self, spec: InstanceSpec, timeout_s: float) -> Info:
        self._step("create")
        try:
            self.processes[spec.name] = subprocess.Popen(
                list(spec.command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
            )
        except OSError as error:
            raise BackendError(f"{spec.name}: it could not be started: {error}") from None
        self.owners[spec.name] = spec.owner
        time.sleep(self.create_takes_s)
        return self.info(spec.name)

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        self._step("foreign")
        return dataclasses.replace(spec, image=None, command=(system.path,))

    def wait_ready(self, spec: InstanceSpec, timeout_s: float) -> float:
        self._step("wait_ready")
        return 0.0

    def run(self, name: str, argv: Sequence[str], timeout_s: float) -> Result:
        self._step("run " + " ".join(argv[:2]))
        now = time.monotonic()
        clock = (now, now + 0.001, now * self.clock_rate)
        for prefix, result in self.outputs.items():
            if " ".join(argv).startswith(prefix):
                return result
        if argv[0] == "/usr/lib/vcompare/digest":
            kind = "quick" if "--quick" in argv else "full"
            return Result(0, self.digests[kind] + "\n", "", 0.01, 0.01, clock)
        began = time.monotonic()
        done = subprocess.run(list(argv), capture_output=True, text=True, check=False, cwd="/")
        took = time.monotonic() - began
        return Result(done.returncode, done.stdout, done.stderr, took, took, clock)

    def stop(self, name: str, timeout_s: float) -> bool:
        return self.destroy(name, timeout_s)

    def destroy(self, name: str, timeout_s: float) -> bool:
        self._step("destroy " + name)
        process = self.processes.pop(name, None)
        if process is None:
            return False
        process.kill()
        process.wait()
        return True

    def info(self, name: str) -> Info:
        process = self.processes.get(name)
        state = "absent" if process is None else "running" if process.poll() is None else "stopped"
        return Info(
            name,
            self.arm,
            state,
            self.addresses.get(name, self.at),
            details={"owner": self.owners.get(name, "")},
        )

    def console(self, name: str) -> str:
        return "its last words"

    def last_words(self, name: str) -> str:
        return self.console(name)

    def files(self, name: str) -> Sequence[str]:
        return [__file__]

    def tasks(self, name: str) -> dict[int, str]:
        self._step("tasks")
        raise NotPossible("plain processes of a test are not told apart")

    def versions(self, spec: InstanceSpec, names: Sequence[str]) -> Versions:
        raise NotPossible("plain processes have no versions")

    def builder(self, spec: InstanceSpec) -> Builder:
        raise NotPossible("plain processes are not built")

    def save(self, name: str, timeout_s: float) -> str:
        self._step("save")
        raise NotPossible("plain processes have no snapshots")

    def restore(self, name: str, timeout_s: float) -> None:
        self._step("restore")

    def put_down(self, name: str, timeout_s: float) -> None:
        self._step("put down")

    def list(self) -> Sequence[Info]:
        return [self.info(name) for name in self.processes]

    def identify(self, name: str) -> Sequence[Proof]:
        self._step("identify")
        return list(self.proofs)


class Arms(dict[str, LocalBackend]):
    """Local arms by name, made when they are asked for."""

    def __init__(self, octet: int) -> None:
        super().__init__()
        self.octet = octet

    def __missing__(self, arm: str) -> LocalBackend:
        if arm == "unknown":
            raise BackendError("there is no arm of the name unknown", remedy="Choose another.")
        self[arm] = LocalBackend(arm, f"127.14.{self.octet}.{len(self) + 1}")
        return self[arm]


@pytest.fixture
def redis_server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program, in PATH. redis-check-rdb is the same one, and goes by the name it is called by."""
    found = shutil.which("redis-server")
    if found is None:
        check = shutil.which("redis-check-rdb")
        if check is None:
            pytest.skip("Redis is not installed")
        folder = tmp_path / "redis"
        folder.mkdir()
        (folder / "redis-server").symlink_to(check)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        found = str(folder / "redis-server")
    return found


@pytest.fixture
def local_arms(redis_server: str) -> Iterator[Arms]:
    made = Arms(os.getpid() % 250 + 1)
    yield made
    for backend in made.values():
        backend.fail_on.clear()
        for name in list(backend.processes):
            backend.destroy(name, 10)


@pytest.fixture
def outputs() -> pathlib.Path:
    return pathlib.Path(__file__).parent / "outputs"
