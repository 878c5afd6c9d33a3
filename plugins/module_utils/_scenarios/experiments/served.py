# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server in an instance for as long as something is measured against it, and no longer."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    Stage,
    replied,
)

# Begun by a shell that waits until the server listens, says its process, and goes. A look from outside would be a
# client to a server that serves only one.
_BEGIN = (
    'at=$1 log=$2; shift 2; setsid "$@" >"$log" 2>&1 </dev/null & pid=$!; tries=0; '
    'until [ -n "$(ss --no-header --listening --numeric --tcp src "$at")" ]; do '
    "tries=$((tries + 1)); if [ $tries -gt 300 ] || [ ! -d /proc/$pid ]; then "
    'cat "$log" >&2; kill -KILL $pid; exit 1; fi; sleep 0.1; done; echo $pid'
)
# Only what still is that server: where an instance shares the host's processes, another may have its number by now.
_END = '[ "$(cat /proc/$1/comm 2>/dev/null)" = "$2" ] && kill -KILL $1; true'


@contextlib.contextmanager
def serving(stage: Stage, address: str, port: int, argv: t.Sequence[str]) -> t.Iterator[None]:
    """Have a server of TCP running in the turn's instance, and end it whatever happens.

    :param argv: the server; it must not put itself into the background.
    :raises BackendError: it did not begin to listen.
    """
    program = os.path.basename(argv[0])
    log = f"/tmp/vcompare-{program}.log"  # noqa: S108 - of the instance
    begin = ["/bin/sh", "-c", _BEGIN, "begin", f"{address}:{port}", log, *argv]
    said = replied(stage.run(begin, 60.0), f"starting {program} inside").strip()
    if not said.isdigit():
        raise BackendError(f"starting {program} inside: it has no process number: {said[-200:]!r}")
    try:
        yield
    finally:
        stage.run(["/bin/sh", "-c", _END, "end", said, program], 60.0)
