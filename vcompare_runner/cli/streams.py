# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Standard streams that may be closed, full, or of an encoding that lacks our characters: no reason to end a run."""

from __future__ import annotations

import io
import os
import sys
import typing as t


class Output(io.FileIO):
    """A standard stream. What can't be written is lost, and the work goes on.

    :ivar lost: why; a broken pipe is none: whoever read it has enough.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: str | None = None
        self._ended = False

    def write(self, data: t.Any, /) -> int:
        """Write what can be written."""
        if not self._ended:
            try:
                return t.cast("int", super().write(data))
            except OSError as error:
                self._ended = True
                if not isinstance(error, BrokenPipeError):
                    self.lost = error.strerror
        return len(data)


def require_utf8() -> None:
    """Start this process again in Python's UTF-8 mode unless names of files and arguments are UTF-8 already.

    Ansible reads and writes UTF-8 alone. Under another encoding a name that is not ASCII can't be passed to it.
    """
    # Once: were that not to help, it would start again for ever.
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys.orig_argv:
        arguments = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, arguments)  # noqa: S606 - ourselves


def prepare() -> Output | None:
    """Make standard output and standard error usable, whatever they are.

    :returns: standard output; ``None`` where it is not the process's own.
    """
    for descriptor in range(3):
        # The next file that is opened would take its place, and get what is meant for the user.
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    output = None
    if sys.stdout is sys.__stdout__:
        output = Output(1)
        sys.stdout = _text(output, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(Output(2), sys.stderr)
    return output


def _text(raw: Output, like: t.TextIO | None) -> io.TextIOWrapper:
    """Return a text stream; what its encoding lacks is shown as an escape sequence."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )
