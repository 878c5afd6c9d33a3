# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and folders go back to what they were only where they still are what we made of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DIRECTORY,
    FILE,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import files
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account

OURS = b"# vcompare\nkvm_amd\n"


@pytest.fixture
def journal(tmp_path: Path) -> HostJournal:
    return HostJournal(str(tmp_path / "state" / "host-journal.jsonl"))


def released(journal: HostJournal, check_mode: bool = False) -> Account:
    account = Account(check_mode)
    for entry in reversed(journal.entries()):
        files.release(entry, journal, account)
    return account


def written(journal: HostJournal, path: Path, content: bytes = OURS) -> None:
    journal.file(str(path), content)
    path.write_bytes(content)


def test_a_file_that_was_not_there_is_removed(journal: HostJournal, tmp_path: Path) -> None:
    path = tmp_path / "kvm.conf"
    written(journal, path)
    account = released(journal)
    assert not path.exists()
    assert account.removed == [{"kind": FILE, "name": str(path), "action": "removed"}]
    assert (account.left, journal.entries()) == ([], [])
    # A second call has nothing to do.
    assert released(journal).removed == []


def test_a_file_gets_its_content_mode_and_owner_again(journal: HostJournal, tmp_path: Path) -> None:
    path = tmp_path / "xen"
    path.write_bytes(b"TOOLSTACK=xl\n\xff")
    path.chmod(0o640)
    os.chown(path, 1234, 4321)
    written(journal, path, b"TOOLSTACK=xl\nours\n")
    # A second provisioning wrote something else.
    written(journal, path, b"TOOLSTACK=xl\nours again\n")
    assert released(journal).removed[0]["action"] == "restored"
    found = path.stat()
    assert path.read_bytes() == b"TOOLSTACK=xl\n\xff"
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, 1234, 4321)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".vcompare")] == []


@pytest.mark.parametrize("there", [True, False])
def test_what_others_changed_is_named_and_not_overwritten(
    journal: HostJournal, tmp_path: Path, there: bool
) -> None:
    path = tmp_path / "file"
    if there:
        path.write_text("before\n")
    written(journal, path)
    path.write_bytes(OURS + b"theirs\n")
    for _again in range(2):
        account = released(journal)
        assert path.read_bytes() == OURS + b"theirs\n"
        assert [one["name"] for one in account.left] == [str(path)]
        assert "kvm_amd" in account.left[0]["remedy"]
        assert account.removed == []
        assert len(journal.entries()) == 1
    # Once it is as it was, that is seen.
    path.write_text("before\n") if there else path.unlink()
    assert released(journal).left == []
    assert journal.entries() == []


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_something_else_in_its_place_is_left(
    journal: HostJournal, tmp_path: Path, kind: str
) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(OURS)
    journal.file(str(path), OURS)
    {"folder": path.mkdir, "link": lambda: path.symlink_to(other), "fifo": lambda: os.mkfifo(path)}[
        kind
    ]()
    account = released(journal)
    assert [one["name"] for one in account.left] == [str(path)]
    assert os.path.lexists(path)
    assert other.read_bytes() == OURS


@pytest.mark.parametrize("content", [None, b"before\n"])
def test_a_change_that_never_began_or_was_undone_is_no_change(
    journal: HostJournal, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    journal.file(str(path), OURS)
    account = released(journal)
    assert (account.removed, account.left, journal.entries()) == ([], [], [])
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_folder_goes_unless_others_use_it(journal: HostJournal, tmp_path: Path) -> None:
    for name in ("empty", "used"):
        journal.directory(str(tmp_path / name))
        (tmp_path / name).mkdir()
    (tmp_path / "used" / "theirs").touch()
    account = released(journal)
    assert account.removed == [
        {"kind": DIRECTORY, "name": str(tmp_path / "empty"), "action": "removed"}
    ]
    assert (tmp_path / "used" / "theirs").exists()
    assert (account.left, journal.entries()) == ([], [])


def test_a_folder_with_a_file_that_is_left_goes_with_that(
    journal: HostJournal, tmp_path: Path
) -> None:
    folder = tmp_path / "grub.d"
    journal.directory(str(folder))
    folder.mkdir()
    written(journal, folder / "vcompare.cfg")
    (folder / "vcompare.cfg").write_text("theirs")
    assert [one["kind"] for one in released(journal).left] == [FILE]
    (folder / "vcompare.cfg").unlink()
    assert released(journal).left == []
    assert not folder.exists()


def test_a_file_goes_before_the_folder_that_was_made_for_it(
    journal: HostJournal, tmp_path: Path
) -> None:
    journal.directory(str(tmp_path / "grub.d"))
    (tmp_path / "grub.d").mkdir()
    written(journal, tmp_path / "grub.d" / "vcompare.cfg")
    checked = released(journal, check_mode=True)
    assert (tmp_path / "grub.d" / "vcompare.cfg").exists()
    assert len(journal.entries()) == 2
    account = released(journal)
    assert account.removed == checked.removed
    assert not (tmp_path / "grub.d").exists()


def test_check_mode_shows_the_difference(journal: HostJournal, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before\n")
    written(journal, path)
    account = released(journal, check_mode=True)
    assert account.diffs == [
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": OURS.decode(),
            "after": "before\n",
        }
    ]
    assert path.read_bytes() == OURS


def test_what_cannot_be_written_is_left_with_the_reason(
    journal: HostJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    written(journal, path)

    def refuse(_path: str) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(os, "unlink", refuse)
    account = released(journal)
    assert account.left[0]["why"] == f"Operation not permitted: {path}"
    assert account.removed == []
    assert len(journal.entries()) == 1
