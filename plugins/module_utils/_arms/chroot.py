# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A process of the host in the image's root file system.

The mounts are in a mount namespace of its own: they are nobody else's business, and end with the
last process. All is done by system calls from here, without a tool a mount: a start-up time is
measured.
"""

from __future__ import annotations

import ctypes
import os
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.data_disk import MOUNT_POINT
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

# From linux/sched.h and linux/mount.h; Python has unshare and setns from 3.12 only, and mount
# never.
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 1, 2, 4, 32
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 4096, 16384, 1 << 18, 1 << 19

# closerange hands the whole range to the kernel (close_range), whatever its size.
_MOST_FILES = 1 << 20

_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: t.Any) -> None:
    if getattr(_LIBC, function)(*arguments) != 0:
        number = ctypes.get_errno()
        shown = next((a.decode() for a in reversed(arguments) if isinstance(a, bytes)), "")
        raise OSError(number, f"{function}: {os.strerror(number)}", shown)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = [text.encode() for text in (source, target, kind)]
    _call("mount", *arguments, ctypes.c_ulong(flags), data.encode())


def _enter(lower: str, folder: str, memory_mib: int, data_folder: str) -> None:
    """Make the mounts and go in; only ever called in a process of its own."""
    _call("unshare", _CLONE_NEWNS)
    # what is mounted from now on stays here; what the host unmounts is unmounted here too
    _mount("none", "/", "", _MS_REC | _MS_SLAVE)
    layer, root = f"{folder}/layer", f"{folder}/root"
    _mount("layer", layer, "tmpfs", _MS_NODEV, f"mode=0755,size={memory_mib}m")
    upper, work = f"{layer}/upper", f"{layer}/work"
    Path(upper).mkdir(mode=0o755)
    Path(work).mkdir(mode=0o755)
    _mount("root", root, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")
    _mount("none", root, "", _MS_PRIVATE)
    for path in ("proc", "sys", "dev"):
        target = f"{root}/{path}"
        _mount(f"/{path}", target, "", _MS_BIND | _MS_REC)
        # what is mounted in here (below) must not appear on the host
        _mount("none", target, "", _MS_REC | _MS_SLAVE)
    _mount("none", f"{root}/sys", "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    # the scratch folders are the same in every arm
    for path, mode in (("run", "0755"), ("tmp", "1777"), ("dev/shm", "1777")):
        data = f"mode={mode},size={memory_mib}m"
        _mount("scratch", f"{root}/{path}", "tmpfs", _MS_NOSUID | _MS_NODEV, data)
    if data_folder:
        _mount(data_folder, f"{root}{MOUNT_POINT}", "", _MS_BIND)
    os.chroot(root)
    os.chdir("/")


def start(
    name: str,
    argv: t.Sequence[str],
    environment: t.Mapping[str, str],
    *,
    lower: str,
    folder: str,
    memory_mib: int,
    data_folder: str = "",
    cgroup_procs: str,
    log: str,
) -> int:
    """Start a process in the root file system, detached from this one; return its process id.

    :param lower: where the root file system is mounted read-only.
    :param folder: has the empty folders ``layer`` and ``root``.
    :param data_folder: a folder of the host that is its writable file system; empty for none.
    :param cgroup_procs: the file that takes it into its control group.
    :param log: where its output goes.
    """
    reader, writer = os.pipe()  # both are closed by exec: end of file says that it has begun
    intermediate = os.fork()
    if intermediate == 0:
        step = "starting"
        try:
            # A socket that this process closes is watched on by its epoll while a copy is open here.
            os.closerange(3, writer)
            os.closerange(writer + 1, _MOST_FILES)
            os.setsid()
            # Two forks: the host's init takes over, and no dead process waits for us to look after
            # it.
            if os.fork() != 0:
                os._exit(0)
            os.write(writer, f"{os.getpid()}\n".encode())
            step = "entering the control group"
            with open(cgroup_procs, "w", encoding="ascii") as handle:
                handle.write(str(os.getpid()))
            step = "redirecting its output"
            null = os.open("/dev/null", os.O_RDONLY)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for source, target in ((null, 0), (out, 1), (out, 2)):
                os.dup2(source, target)
            step = "mounting its root file system"
            _enter(lower, folder, memory_mib, data_folder)
            step = f"executing {argv[0]}"
            os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606
        except BaseException as error:
            os.write(writer, f"{step}: {error}".encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as handle:
        said = handle.read().decode(errors="replace")
    os.waitpid(intermediate, 0)
    pid, _line, problem = said.partition("\n")
    if problem or not pid:
        raise BackendError(
            f"{name}: {problem or 'its process could not be made'}",
            remedy="See that the command exists in the image, and that the kernel has overlayfs.",
        )
    return int(pid)


class Entrance:
    """The way into the root file system of a process, for :class:`subprocess.Popen`.

    Use it as a context manager, and give :meth:`enter` as ``preexec_fn``.
    """

    def __init__(self, pid: int, cgroup_procs: str) -> None:
        self._pid = pid
        self._cgroup_procs = cgroup_procs
        self._files: list[int] = []

    def __enter__(self) -> Entrance:
        try:
            for path, flags in (("ns/mnt", os.O_RDONLY), ("root", os.O_RDONLY | os.O_DIRECTORY)):
                self._files.append(os.open(f"/proc/{self._pid}/{path}", flags | os.O_CLOEXEC))
            self._files.append(os.open(self._cgroup_procs, os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for file in self._files:
            os.close(file)
        self._files = []

    def enter(self) -> None:
        """Join the control group, the mounts and the root; called between fork and exec."""
        namespace, root, procs = self._files
        os.write(procs, str(os.getpid()).encode())
        _call("setns", namespace, _CLONE_NEWNS)
        os.fchdir(root)
        os.chroot(".")
        os.chdir("/")
