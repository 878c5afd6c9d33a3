# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which functions of this host's kernel some of its tasks run through, by its function tracer (ftrace).

All of it is in a trace instance of our own (https://docs.kernel.org/trace/ftrace.html#instances): its buffer and its
settings are nobody else's, and to remove the folder puts everything back. A traced kernel is several times slower, so
that is what happens however this process ends: a shell waits at the other end of a pipe, and removes it.
"""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run
from ansible_collections.vcompare.lab.plugins.module_utils._host import one_processor

ROOT = Path("/sys/kernel/tracing")
_INSTANCE = "vcompare"
# An entry takes some 28 bytes: so much is more than a million of them, on each CPU.
_BUFFER_KIB = 32768
# To switch the tracer on or off changes the beginning of each of the kernel's 50,000 functions.
_SWITCH_S = 60.0
_KEEPER = """
cat > /dev/null
for try in 1 2 3 4 5; do
    [ -d "$1" ] || break
    echo 0 > "$1/tracing_on"
    echo nop > "$1/current_tracer"
    rmdir "$1" && break
    sleep 1
done
[ -z "$2" ] || umount "$2"
[ ! -d "$1" ]
"""


class Seen(t.NamedTuple):
    """What was traced.

    :param functions: their names, with their module where they have one.
    :param calls: how many calls were recorded.
    :param lost: how many had no room in the buffer.
    """

    functions: frozenset[str]
    calls: int
    lost: int


class Tracer:
    """A trace of some tasks and of all that they start; use it as a context manager.

    :param tasks: numbers of threads, as the host sees them.
    :param factor: how much slower than an ordinary machine this host may be.
    """

    def __init__(self, tasks: t.Iterable[int], factor: float = 1.0, root: Path = ROOT) -> None:
        self._tasks, self._limit_s, self._root = sorted(tasks), _SWITCH_S * factor, root
        self._folder = root / "instances" / _INSTANCE
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Tracer:
        mounted = self._mount()
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(self._folder), mounted],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # What ends this process by a signal to its group shall not end the keeper.
            start_new_session=True,
            cwd="/",
        )
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None or keeper.stdin is None:
            return
        try:
            with one_processor.while_code_changes():
                keeper.stdin.close()
                rc = keeper.wait(self._limit_s)
        except subprocess.TimeoutExpired:
            rc = -1
        finally:
            # Where not even that was possible it removes the trace all the same.
            keeper.stdin.close()
        if rc != 0:
            raise BackendError(
                f"the trace {self._folder} could not be removed",
                remedy=f"End it: echo nop > {self._folder}/current_tracer; rmdir {self._folder}",
            )

    def _mount(self) -> str:
        """Have the tracer's file system there; return what is to be unmounted again, or nothing."""
        if (self._root / "available_tracers").exists():
            return ""
        try:
            host_run(["mount", "-t", "tracefs", "tracefs", str(self._root)], 60, "tracing")
        except BackendError as error:
            raise NotPossible(f"this host's kernel has no tracer: {error.message}") from None
        return str(self._root)

    def _set_up(self) -> None:
        tracers = (self._root / "available_tracers").read_text(encoding="ascii").split()
        if "function" not in tracers:
            raise NotPossible(
                "this host's kernel has no function tracer (CONFIG_FUNCTION_TRACER);"
                f" it has: {', '.join(tracers)}"
            )
        try:
            if self._folder.exists():  # of a process that was killed together with its keeper
                self._write("current_tracer", "nop")
                self._folder.rmdir()
            self._folder.mkdir()
            for name, value in (
                ("tracing_on", "0"),
                ("buffer_size_kb", str(_BUFFER_KIB)),
                # A line is a function's name, and nothing else.
                ("options/context-info", "0"),
                ("options/print-parent", "0"),
                ("options/function-fork", "1"),
                ("set_ftrace_pid", " ".join(map(str, self._tasks))),
            ):
                self._write(name, value)
            with one_processor.while_code_changes():
                self._write("current_tracer", "function")
        except OSError as error:
            raise NotPossible(f"this host's kernel can't be traced: {error}") from None

    def _write(self, name: str, value: str) -> None:
        (self._folder / name).write_text(value, encoding="ascii")

    def start(self) -> None:
        """Record from now on."""
        self._write("tracing_on", "1")

    def stop(self) -> None:
        """Record no more."""
        self._write("tracing_on", "0")

    def seen(self) -> Seen:
        """Return what was recorded, and forget it."""
        lost = sum(map(lost_in, self._folder.glob("per_cpu/cpu*/stats")))
        with (self._folder / "trace").open(encoding="utf-8", errors="replace") as lines:
            functions, calls = functions_in(lines)
        return Seen(functions, calls, lost)


def functions_in(lines: t.Iterable[str]) -> tuple[frozenset[str], int]:
    """Return the names in a trace without its context, and how many lines with one there were."""
    found: dict[str, int] = {}
    for line in lines:
        found[line] = found.get(line, 0) + 1
    names = {line: line.strip() for line in found}
    kept = {line for line, name in names.items() if name and not name.startswith(("#", "CPU:"))}
    return frozenset(names[line] for line in kept), sum(found[line] for line in kept)


def lost_in(stats: Path) -> int:
    """Return how many entries the buffer of a CPU had no room for."""
    lost = 0
    for line in stats.read_text(encoding="ascii").splitlines():
        key, _colon, value = line.partition(":")
        if key in ("overrun", "commit overrun", "dropped events"):
            lost += int(value)
    return lost
