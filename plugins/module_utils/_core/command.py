# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands of the lab server, with errors that say what was being done."""

from __future__ import annotations

import os
import subprocess
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

_TAIL_LINES = 15


def run(
    argv: t.Sequence[str],
    what: str,
    *,
    timeout_s: float = 600.0,
    remedy: str = "",
    env: t.Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run a command to its end and return its standard output, as text; see `run_bytes`."""
    return run_bytes(
        argv, what, timeout_s=timeout_s, remedy=remedy, env=env, cwd=cwd, stdin=stdin
    ).decode("utf-8", "replace")


def run_bytes(
    argv: t.Sequence[str],
    what: str,
    *,
    timeout_s: float = 600.0,
    remedy: str = "",
    env: t.Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
) -> bytes:
    """Run a command to its end and return its standard output.

    :param what: what is being done, for the message of a failure ("building the root file system").
    :raises VcompareError: it can't be started, ends with another code than 0, or takes too long.
    """
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            timeout=timeout_s,
            # An empty input rather than the caller's: nothing may wait for a person.
            input=stdin or b"",
            cwd=cwd,
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8", **(env or {})},
        )
    except FileNotFoundError as exc:
        raise VcompareError(
            f"{what}: the program {argv[0]} is not on this machine.",
            remedy or "The role vcompare.lab.lab_server installs it.",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise VcompareError(
            f"{what}: {argv[0]} did not end within {timeout_s:.0f} s.",
            remedy,
            tail(exc.stderr or exc.stdout or b""),
        ) from exc
    if done.returncode != 0:
        raise VcompareError(
            f"{what}: {argv[0]} ended with code {done.returncode}.",
            remedy,
            tail(done.stderr or done.stdout),
        )
    return done.stdout


def search_path() -> str:
    """Where programs are looked for: a user who is not root has no system folders there, and may use their tools."""
    own = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return f"{own}:/usr/local/sbin:/usr/sbin:/sbin"


def state(*argv: str) -> str:
    """What a command that answers in one word says; some end with another code than 0 for most words.

    Empty where the host does not have the command.
    """
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def tail(output: bytes, lines: int = _TAIL_LINES) -> str:
    """The last lines of an output, as text."""
    return "\n".join(output.decode("utf-8", "replace").rstrip().splitlines()[-lines:])
