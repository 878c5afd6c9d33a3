# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many of its system calls the host's kernel lets an instance make.

Each is tried inside, by the instance's own root, in a process of its own and with arguments that no call can do
anything with (-1 for each): what is asked is whether the kernel looks at the call at all, or whether a filter or a
missing capability refuses it before. "Not permitted" (EPERM, EACCES), "no such call" (ENOSYS, which is also what some
filters say) and an end by SIGSYS count as not let through; any other outcome does, among them an error about the
arguments.

A call of a process in a virtual machine is one of the guest's kernel. Whose kernel answered is read by the same
command, by its boot id; what another kernel than the host's permits is none of the host's.

The program is a script of LuaJIT, which the one root file system has in sysbench, with its foreign function interface
(https://luajit.org/ext_ffi.html): it needs no compiler and no file of an architecture.
"""

from __future__ import annotations

import errno
import json
import signal
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    Figure,
    Metric,
    Stage,
    replied,
)

PERMITTED = Metric("containment", "host_calls_permitted", "count", "lower", 0.0, 1000.0)

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# x86-64 numbers its calls without a gap up to 334, and since 424 with the other architectures; 462 was the last in
# Linux 6.12 (arch/x86/entry/syscalls/syscall_64.tbl). A number that a kernel does not know is not let through.
NUMBERS = (*range(335), *range(424, 470))
# vhangup takes no arguments, and the terminal of whoever runs this.
_LEFT_OUT = frozenset({153})
_NOT_LET_THROUGH = {errno.EPERM: "EPERM", errno.EACCES: "EACCES", errno.ENOSYS: "ENOSYS"}
_MARK = "vcompare-calls:"
# A call that waits is ended by its alarm, and one that ends or forks its process by that. 1000 and above: by a signal.
_SCRIPT = """
local ffi = require("ffi")
ffi.cdef[[
long syscall(long number, ...);
int fork(void);
int waitpid(int pid, int *status, int options);
unsigned int alarm(unsigned int seconds);
void _exit(int status);
]]
local no = ffi.cast("long", -1)
local outcomes = {}
for _, number in ipairs({NUMBERS}) do
  local pid = ffi.C.fork()
  if pid == 0 then
    ffi.C.alarm(1)
    local got = ffi.C.syscall(ffi.cast("long", number), no, no, no, no, no, no)
    ffi.C._exit(got == -1 and ffi.errno() or 0)
  end
  local status = ffi.new("int[1]")
  ffi.C.waitpid(pid, status, 0)
  local signal = status[0] % 128
  local outcome = signal > 0 and 1000 + signal or math.floor(status[0] / 256) % 256
  outcomes[#outcomes + 1] = number .. ":" .. outcome
end
print("MARK{" .. table.concat(outcomes, ",") .. "}")
os.exit(0)
"""


def script() -> str:
    """Return a shell script that says whose kernel answers, tries every call, and prints how each went."""
    tried = ",".join(str(number) for number in NUMBERS if number not in _LEFT_OUT)
    lua = _SCRIPT.replace("NUMBERS", tried).replace("MARK", _MARK)
    # No core files, whatever a call does to its process.
    return (
        f"ulimit -c 0; cd /tmp && cat {_BOOT_ID} && cat > vcompare-calls.lua <<'END'\n{lua}END\n"
        "sysbench vcompare-calls.lua run; code=$?; rm -f vcompare-calls.lua; exit $code"
    )


def parse(text: str) -> tuple[str, dict[int, int]]:
    """Return the boot id that was read, and how each call went: an error's number, 0, or 1000 and a signal.

    :raises BackendError: not all of them were tried.
    """
    boot, outcomes = text.partition("\n")[0].strip(), {}
    for line in text.splitlines():
        if line.startswith(_MARK):
            pairs = line.removeprefix(_MARK).strip("{}").split(",")
            outcomes = {
                int(number): int(how)
                for number, _colon, how in (pair.partition(":") for pair in pairs)
            }
    if not boot or set(outcomes) != set(NUMBERS) - _LEFT_OUT:
        raise BackendError(
            f"{len(outcomes)} of {len(NUMBERS) - len(_LEFT_OUT)} system calls were tried inside: {text[-200:]!r}"
        )
    return boot, outcomes


def let_through(outcomes: t.Mapping[int, int]) -> set[int]:
    """Return the numbers of the calls that the kernel looked at."""
    refused = {*_NOT_LET_THROUGH, 1000 + signal.SIGSYS}
    return {number for number, how in outcomes.items() if how not in refused}


def tried(stage: Stage) -> t.Iterator[Figure]:
    """Try every call inside."""
    result = stage.run(["/bin/sh", "-c", script()], 60.0)
    boot, outcomes = parse(replied(result, "trying system calls inside"))
    host = conditions.boot_id()
    through = let_through(outcomes)
    own = boot != host
    counts = {
        name: sum(1 for how in outcomes.values() if how == number)
        for number, name in sorted(_NOT_LET_THROUGH.items())
    }
    yield Figure(
        PERMITTED,
        0 if own else len(through),
        f"of {len(outcomes)} system calls {len(through)} were let through by the kernel of boot {boot}, which is"
        f" {'not the one' if own else 'that'} of the host ({host}); refused: "
        + ", ".join(f"{count} by {name}" for name, count in counts.items())
        + f"; number and outcome of each: {json.dumps(outcomes, separators=(',', ':'))}",
    )
