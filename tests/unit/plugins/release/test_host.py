# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server is as it was before, or says what is left; a second call has nothing to do."""

from __future__ import annotations

import fcntl
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._release import files, state
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account

from .conftest import Host

SOCKETS = ("virtlogd.socket", "libvirtd.socket")


def named(items: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(one["kind"], Path(one["name"]).name) for one in items}


def provisioned(server: Host) -> None:
    """What the roles of Docker and KVM leave on a server."""
    server.journal.packages(["dpkg", "no-such-package"])
    server.wrote("kvm.conf")
    server.journal.directory(str(server.root / "dnsmasq"))
    (server.root / "dnsmasq").mkdir()
    server.module("kvm_amd")
    for unit in SOCKETS:
        server.unit(unit)
    for name in ("images/abc/rootfs.ext4", "instances/x", "journal.jsonl", "keys/client_ed25519"):
        (server.state / name).parent.mkdir(parents=True, exist_ok=True)
        (server.state / name).touch()


def test_everything_goes_and_packages_are_named(server: Host) -> None:
    before = server.tree()
    provisioned(server)
    made = server.tree()
    checked = server.release(check_mode=True)
    assert server.tree() == made
    assert (server.told(), checked["released"], checked["changed"]) == ([], True, True)
    result = server.release()
    assert server.tree() == before
    assert not server.state.exists()
    assert result["removed"] == checked["removed"]
    assert named(result["removed"]) == {
        ("file", "kvm.conf"),
        ("directory", "dnsmasq"),
        ("kernel-module", "kvm_amd"),
        *(("unit", unit) for unit in SOCKETS),
        ("folder", "state"),
    }
    assert [one["name"] for one in result["packages"]] == ["dpkg"]
    assert result["packages"][0]["version"]
    assert result["packages_command"] == "apt-get purge dpkg"
    assert (result["released"], result["left"]) == (True, [])
    again = server.release()
    assert (again["changed"], again["released"], again["removed"]) == (False, True, [])
    assert not server.state.exists()


def test_a_server_that_was_never_used_is_not_touched(server: Host) -> None:
    before = server.tree()
    result = server.release()
    assert (result["changed"], result["released"], server.tree()) == (False, True, before)
    assert not server.state.exists()


@pytest.mark.parametrize("stop_at", range(7))
def test_a_call_that_was_killed_goes_on_with_the_next(
    server: Host, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.tree()
    provisioned(server)
    attempt, calls = Account.attempt, []

    def killed(self: Account, kind: str, name: str, act: t.Callable[[], t.Any]) -> bool:
        calls.append(name)
        if len(calls) == stop_at + 1:
            raise SystemExit
        return attempt(self, kind, name, act)

    monkeypatch.setattr(Account, "attempt", killed)
    if stop_at < 6:
        with pytest.raises(SystemExit):
            server.release()
        assert server.journal.entries()
    else:
        server.release()
    monkeypatch.setattr(Account, "attempt", attempt)
    result = server.release()
    assert (result["released"], server.tree(), server.state.exists()) == (True, before, False)
    # Nothing is done twice.
    assert len(result["removed"]) == 6 - stop_at


def test_what_is_left_keeps_its_record_and_no_more(server: Host) -> None:
    provisioned(server)
    theirs = server.root / "kvm.conf"
    theirs.write_text("theirs\n")
    result = server.release()
    assert (result["released"], result["changed"]) == (False, True)
    assert named(result["left"]) == {("file", "kvm.conf")}
    assert [path.name for path in server.state.iterdir()] == ["host-journal.jsonl"]
    # Packages are named until the journal goes.
    for _again in range(2):
        result = server.release()
        assert (result["changed"], result["released"]) == (False, False)
        assert result["packages_command"] == "apt-get purge dpkg"
    theirs.unlink()
    assert server.release()["released"]
    assert not server.state.exists()


@pytest.mark.parametrize(
    ("carried", "left"),
    [("virtual machine web", set(SOCKETS)), ("container web", {"docker.service"})],
)
def test_a_unit_that_carries_others_stays(
    server: Host, others: list[str], carried: str, left: set[str]
) -> None:
    for unit in (*SOCKETS, "docker.service"):
        server.unit(unit)
    others.append(carried)
    result = server.release()
    assert {one["name"] for one in result["left"]} == left
    assert all(carried in one["why"] for one in result["left"])
    assert set((server.root / "active").read_text().split()) == left
    assert set((server.root / "enabled").read_text().split()) == left
    others.clear()
    assert server.release()["released"]
    assert (server.root / "active").read_text() == ""


def test_a_unit_is_given_back_what_it_was(server: Host) -> None:
    server.unit("libvirtd.socket", was_enabled=True)
    server.unit("docker.service", was_active=True)
    server.unit("xen.service")
    server.release()
    # The daemons of a Xen that runs are not stopped, and a service goes with the socket that started it.
    assert (server.root / "active").read_text().split() == ["docker.service", "xen.service"]
    assert (server.root / "enabled").read_text().split() == ["libvirtd.socket"]
    assert "stop libvirtd.socket libvirtd.service" in server.told()


def test_a_module_that_is_in_use_stays(server: Host) -> None:
    server.module("kvm_intel", users=2)
    result = server.release()
    assert named(result["left"]) == {("kernel-module", "kvm_intel")}
    assert server.told() == []
    (server.root / "modules/kvm_intel/refcnt").write_text("0\n")
    assert server.release()["released"]
    assert server.told() == ["modprobe -r kvm_intel"]


def test_a_kind_of_a_later_version_is_named(server: Host) -> None:
    server.journal.note("sysctl", "vm.swappiness", {"value": "60"})
    result = server.release()
    assert named(result["left"]) == {("sysctl", "vm.swappiness")}
    assert server.journal.entries()


def test_a_measurement_is_not_disturbed(server: Host) -> None:
    provisioned(server)
    before = server.tree()
    with (server.state / "measure.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(VcompareError, match="another measurement is running"):
            server.release()
        assert {k: v for k, v in server.tree().items() if "measure.lock" not in k} == before


def test_our_keys_leave_a_file_of_others(server: Host) -> None:
    (server.state / "pool-peer").mkdir(parents=True)
    keys = server.root / "authorized_keys"
    keys.write_text("ssh-ed25519 AAAA theirs\nrestrict ssh-ed25519 BBBB vcompare-pool\n")
    keys.chmod(0o640)
    result = server.release()
    assert keys.read_text() == "ssh-ed25519 AAAA theirs\n"
    assert keys.stat().st_mode & 0o777 == 0o640
    assert ("authorized key", "authorized_keys") in named(result["removed"])
    assert not server.state.exists()


def test_a_nested_lab_has_a_command_of_its_own(server: Host) -> None:
    (server.root / "home/labs/spare").mkdir(parents=True)
    result = server.release(lab_home=str(server.root / "home"))
    assert result["left"] == [
        {
            "kind": "nested lab",
            "name": "spare",
            "why": f"it is in {server.root}/home",
            "remedy": "vcompare lab down --lab spare",
        }
    ]
    assert (server.root / "home/labs/spare").exists()


@pytest.mark.parametrize(
    ("remote", "labs", "kept"),
    [
        (True, False, {"runs"}),
        (True, True, {"runs", "images", "packages", "labs"}),
        (False, False, {"runs", "images", "packages"}),
    ],
)
def test_a_home_folder_keeps_runs_and_what_a_lab_needs(
    tmp_path: Path, remote: bool, labs: bool, kept: set[str]
) -> None:
    home = tmp_path / ".local/share/vcompare"
    for name in ("runs", "images", "packages", *(["labs"] if labs else [])):
        (home / name).mkdir(parents=True)
    (tmp_path / ".cache/vcompare/incoming/abc").mkdir(parents=True)
    (tmp_path / ".cache/other").mkdir()
    account = Account()
    state.user(account, str(tmp_path), remote)
    assert {path.name for path in home.iterdir()} == kept
    assert [path.name for path in (tmp_path / ".cache").iterdir()] == ["other"]
    again = Account()
    state.user(again, str(tmp_path), remote)
    assert again.removed == []


@pytest.mark.parametrize(
    ("created", "other", "left"),
    [(True, False, False), (True, True, True), (False, False, True)],
)
def test_the_folder_above_goes_where_it_is_ours_and_empty(
    tmp_path: Path, created: bool, other: bool, left: bool
) -> None:
    (tmp_path / ".cache/vcompare/incoming").mkdir(parents=True)
    if created:
        (tmp_path / ".cache/vcompare/created-parent").touch()
    if other:
        (tmp_path / ".cache/other").mkdir()
    state.user(Account(), str(tmp_path), remote=True)
    assert (tmp_path / ".cache").exists() == left
    assert not (tmp_path / ".cache/vcompare").exists()


def test_a_home_folder_with_nothing_else_goes(tmp_path: Path) -> None:
    (tmp_path / ".local/share/vcompare/images").mkdir(parents=True)
    state.user(Account(), str(tmp_path), remote=True)
    assert not (tmp_path / ".local/share/vcompare").exists()


def test_a_failure_of_one_thing_stops_no_other(
    server: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioned(server)

    def refuse(_entry: object) -> None:
        raise PermissionError(1, "Operation not permitted", "kvm.conf")

    monkeypatch.setattr(files, "put_back", refuse)
    result = server.release()
    assert named(result["left"]) == {("file", "kvm.conf")}
    assert "Operation not permitted" in result["left"][0]["why"]
    assert ("kernel-module", "kvm_amd") in named(result["removed"])
