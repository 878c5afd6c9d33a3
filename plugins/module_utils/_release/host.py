# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything of ours off a host, in the order in which one thing needs the next; the journal goes last.

What was undone is dropped from the journal at once, so that a call that was killed goes on with the next one.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._engines import docker_api, packages
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import Service
from ansible_collections.vcompare.lab.plugins.module_utils._host import hostlock
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DIRECTORY,
    DOCKER_OPTIONS,
    DOCKER_RESTART,
    FILE,
    GRUB_MENU,
    GRUB_VARIABLE,
    KERNEL_MODULE,
    PACKAGE,
    REBOOT,
    UNIT,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import (
    boot,
    docker_options,
    files,
    instances,
    state,
    units,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account

_JOURNAL = "host-journal.jsonl"
_SERVICE_S = 300.0
_KNOWN = (
    *(
        DIRECTORY,
        DOCKER_OPTIONS,
        DOCKER_RESTART,
        FILE,
        GRUB_MENU,
        GRUB_VARIABLE,
        KERNEL_MODULE,
        PACKAGE,
    ),
    *(REBOOT, UNIT),
)


def release(account: Account, state_dir: str = STATE_DIR, lab_home: str = "") -> dict[str, t.Any]:
    """Remove everything of ours from this host.

    :param lab_home: where nested labs of this host are looked for; empty where it carries none.
    :returns: the module's result.
    :raises BackendError: a measurement is running.
    """
    journal = HostJournal(f"{state_dir}/{_JOURNAL}")
    with _undisturbed(state_dir):
        instances.Instances(state_dir, account).release()
        _changes(journal, account)
        boot.release(journal, account)
        reboot = boot.reboot(journal, account)
        state.keys(account, state_dir)
        if lab_home:
            state.labs(account, lab_home)
        installed = _installed(journal)
        state.folder(account, state_dir, journal.path, reboot)
    return _result(account, installed, reboot)


def release_user(account: Account, home: str, remote: bool) -> dict[str, t.Any]:
    """Remove what lies in the home folder of a user; see `release`."""
    state.user(account, home, remote)
    return _result(account, {}, False)


def _result(account: Account, installed: t.Mapping[str, str], reboot: bool) -> dict[str, t.Any]:
    return {
        "changed": bool(account.removed),
        "released": not account.left and not reboot,
        "removed": account.removed,
        "left": account.left,
        "packages": [{"name": name, "version": version} for name, version in installed.items()],
        "packages_command": f"apt-get purge {' '.join(installed)}" if installed else "",
        "reboot_required": reboot,
        "diff": [*account.diffs, {"prepared": _listed(account)}] if account.removed else [],
    }


@contextlib.contextmanager
def _undisturbed(state_dir: str) -> t.Iterator[None]:
    # Where nothing was ever measured there is no lock, and none is made.
    measured = os.path.exists(f"{state_dir}/measure.lock")
    with hostlock.measuring(state_dir) if measured else contextlib.nullcontext():
        yield


def _changes(journal: HostJournal, account: Account) -> None:
    """Undo what the journal has, but the boot menu: each step the latest change first."""
    service = Service(_SERVICE_S)
    for entry in _entries(journal, DOCKER_OPTIONS):
        docker_options.release(entry, journal, account, service)
    for entry in _entries(journal, UNIT):
        units.release(entry, journal, account)
    docker_options.restart(journal, account, service, docker_api.Api(docker_api.SOCKET))
    for entry in _entries(journal, FILE, DIRECTORY):
        if not boot.ours(entry):
            files.release(entry, journal, account)
    for entry in _entries(journal, KERNEL_MODULE):
        units.release_module(entry, journal, account)
    for entry in journal.entries():
        if entry.kind not in _KNOWN:
            account.leave(
                entry.kind,
                entry.name,
                "this version does not know how to undo it",
                "Use the version that made it.",
            )


def _entries(journal: HostJournal, *kinds: str) -> list[t.Any]:
    return [entry for entry in reversed(journal.entries()) if entry.kind in kinds]


def _installed(journal: HostJournal) -> dict[str, str]:
    """Return the packages that we installed and that are still there, with their versions."""
    names = [entry.name for entry in journal.entries() if entry.kind == PACKAGE]
    return dict(sorted(packages.versions(sorted(names)).items()))


def _listed(account: Account) -> str:
    return "".join(f"- {one['kind']} {one['name']}: {one['action']}\n" for one in account.removed)
