# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that we added to Docker's daemon.json, and the restart that makes it take effect."""

from __future__ import annotations

import base64
import copy
import json
import shutil
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import carried, docker_config
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import Api
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    UNIT,
    Service,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DOCKER_OPTIONS,
    DOCKER_RESTART,
    Entry,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import files, units
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import (
    CHANGED,
    RESTARTED,
    RESTORED,
    Account,
)

_START_S = 300.0
Options = dict[str, t.Any]


def without_ours(now: Options, before: Options, wrote: Options) -> tuple[Options, list[str]]:
    """Return options as they would be had we never changed them, and the names of ours that others changed since then.

    :param before: as they were; ``wrote``: as we wrote them.
    """
    result = copy.deepcopy(now)
    changed: list[str] = []
    for key in [*wrote, *(key for key in before if key not in wrote)]:
        if key in wrote and key in before and wrote[key] == before[key]:
            continue
        was, ours, is_now = before.get(key), wrote.get(key), now.get(key)
        if (
            key in now
            and key in wrote
            and is_now != ours
            and isinstance(ours, dict)
            and isinstance(is_now, dict)
        ):
            inner, others = without_ours(is_now, was if isinstance(was, dict) else {}, ours)
            changed += [f"{key}.{name}" for name in others]
            if inner or key in before:
                result[key] = inner
            else:
                del result[key]
        elif (key in now) != (key in wrote) or is_now != ours:
            # One of ours that was removed since then is nobody's.
            changed += [key] if key in now and key in wrote else []
        elif key in before:
            result[key] = copy.deepcopy(was)
        else:
            result.pop(key, None)
    return result, changed


def release(entry: Entry, journal: HostJournal, account: Account, service: Service) -> bool:
    """Take our options out of one daemon.json; return whether nothing of ours is left in it."""
    found = files.look(entry.name)
    whose = files.whose(entry, found)
    clean = True
    if whose != files.AS_BEFORE:
        content = files.content_before(entry)
        changed: list[str] = []
        if whose == files.OTHERS:
            try:
                content, changed = _merged(entry, found)
            except VcompareError as error:
                account.leave(
                    DOCKER_OPTIONS,
                    entry.name,
                    f"it was changed after we wrote it: {error.message}",
                    error.remedy,
                )
                return False
        if content != found.content:
            clean = _write(entry, found, content, journal, account, service)
        for key in changed:
            clean = False
            account.leave(
                "docker-option",
                key,
                f"another value was given to it in {entry.name}",
                f"Remove it from {entry.name}, or keep it and remove our journal, {journal.path}.",
            )
    if clean and not account.check_mode:
        journal.undone(entry)
    return clean


def _merged(entry: Entry, found: files.Found) -> tuple[bytes | None, list[str]]:
    """Return the content of a file that others changed, without our options, and the names of ours that they changed.

    :raises VcompareError: it can't be read any more, or the daemon does not start with the rest.
    """
    now = docker_config.load(entry.name).values
    before = files.content_before(entry)
    options, changed = now, []
    for text in entry.wrote:
        options, others = without_ours(options, _parsed(before), _parsed(base64.b64decode(text)))
        changed += others
    if options == now:
        return found.content, sorted(set(changed))
    if not options and before is None:
        return None, sorted(set(changed))
    if dockerd := shutil.which("dockerd", path=command.search_path()):
        docker_config.check(options, dockerd, [])
    return docker_config.render(options), sorted(set(changed))


def _parsed(content: bytes | None) -> Options:
    try:
        values = json.loads(content or b"{}")
    except ValueError:
        values = {}
    return values if isinstance(values, dict) else {}


def _write(
    entry: Entry,
    found: files.Found,
    content: bytes | None,
    journal: HostJournal,
    account: Account,
    service: Service,
) -> bool:
    account.changes(entry.name, found.content or b"", content or b"")

    def write() -> None:
        if running := service.started():
            journal.note(DOCKER_RESTART, UNIT, {"running": running})
        if content == files.content_before(entry):
            files.put_back(entry)
        elif content is not None:
            docker_config.replace(entry.name, content)

    action = (
        "removed"
        if content is None
        else RESTORED
        if content == files.content_before(entry)
        else CHANGED
    )
    return account.remove(DOCKER_OPTIONS, entry.name, write, action)


def restart(journal: HostJournal, account: Account, service: Service, api: Api) -> None:
    """Restart the daemon where it still runs with our options, and that interrupts none of others, or is allowed."""
    entry = next((one for one in journal.entries() if one.kind == DOCKER_RESTART), None)
    if account.check_mode or entry is None:
        return
    if service.started() != entry.before["running"]:
        journal.undone(entry)
        return
    others = units.foreign(account, [carried.CONTAINER])
    if others and "restart" not in account.allow:
        account.leave(
            DOCKER_RESTART,
            UNIT,
            f"it runs with our options until it is restarted, and carries {', '.join(others)}",
            "systemctl restart docker, or --allow restart",
        )
        return

    def start() -> None:
        began = time.time()
        trouble = service.restart()
        if not trouble and not api.wait(_START_S):
            trouble = f"it does not answer on {api.path}"
        if trouble:
            raise VcompareError(f"it did not come up: {trouble}", service.journal(began))

    if account.remove(DOCKER_RESTART, UNIT, start, RESTARTED):
        journal.undone(entry)
