# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of guests' consoles under Xen: the last lines of a guest that failed are its only witness."""

from __future__ import annotations

import os

from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

SETTINGS = "/etc/default/xen"
# xenconsoled keeps no console where this folder is missing, and Debian's packages don't make it.
LOGS = "/var/log/xen/console"
# Debian's init script passes these on; it does not read XENCONSOLED_TRACE.
_LINE = 'XENCONSOLED_ARGS="--log=guest"'


def ensure(steps: HostPlan, journal: HostJournal, check_mode: bool) -> None:
    """Ensure that guests' consoles are logged."""
    if not os.path.isdir(LOGS):
        steps.add("file", "add", f"{LOGS}/", "a folder")
        if not check_mode:
            journal.directory(LOGS)
            os.makedirs(LOGS)
    try:
        with open(SETTINGS, "rb") as file:
            content = file.read()
    except OSError:
        # In check mode the package that brings it may not be installed yet.
        content = b""
    text = content.decode(errors="replace")
    if _LINE in text.splitlines():
        return
    more = f"\n# vcompare.lab.xen_host\n{_LINE}\n"
    steps.file(SETTINGS, text, text + more)
    if not check_mode:
        journal.file(SETTINGS, content + more.encode())
        with open(SETTINGS, "a", encoding="utf-8") as file:
            file.write(more)
