# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of a host: what was there before our first change, once, whole."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    HostJournal,
    encoded,
)


@pytest.fixture
def journal(tmp_path: Path) -> HostJournal:
    return HostJournal(str(tmp_path / "state" / "journal.jsonl"))


def test_only_the_state_before_the_first_change_is_kept(
    journal: HostJournal, tmp_path: Path
) -> None:
    path = tmp_path / "daemon.json"
    path.write_bytes(b"{}\n")
    path.chmod(0o640)
    journal.file(str(path), b"ours")
    path.write_bytes(b"ours")
    journal.file(str(path), b"ours")
    journal.file(str(path), b"later")
    (entry,) = journal.entries()
    assert entry.wrote == (encoded(b"ours"), encoded(b"later"))
    assert base64.b64decode(entry.before["content"]) == b"{}\n"
    assert entry.before["mode"] == 0o640
    assert (entry.before["uid"], entry.before["gid"]) == (os.getuid(), os.getgid())


def test_absence_is_a_state_too(journal: HostJournal, tmp_path: Path) -> None:
    journal.file(str(tmp_path / "new"), b"")
    journal.directory(str(tmp_path / "folder"))
    journal.directory(str(tmp_path))
    journal.packages(["zstd"])
    assert [(entry.kind, entry.before) for entry in journal.entries()] == [
        ("file", {"there": False}),
        ("directory", {"there": False}),
        ("package", {"there": False}),
    ]


def test_a_link_is_followed_to_the_file_that_would_change(
    journal: HostJournal, tmp_path: Path
) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    journal.file(str(tmp_path / "link"), b"")
    assert journal.entries()[0].name == str(tmp_path / "real")


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_not_a_file_is_refused(journal: HostJournal, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(VcompareError, match="not a regular file"):
        journal.file(str(path), b"")
    assert journal.entries() == []


@pytest.mark.parametrize("rest", [b'{"at": "x", "ki', b"[]\n", b"\xff\xfe\n", b'{"kind": 1}\n'])
def test_a_line_that_was_cut_off_costs_no_other(journal: HostJournal, rest: bytes) -> None:
    journal.unit("docker.service", "disabled", "inactive")
    with open(journal.path, "ab") as file:
        file.write(rest)
    journal.packages(["zstd"])
    assert [entry.name for entry in journal.entries()] == ["docker.service", "zstd"]


def test_only_root_reads_it(journal: HostJournal) -> None:
    journal.packages(["zstd"])
    assert os.stat(journal.path).st_mode & 0o777 == 0o600


def test_what_is_as_it_was_is_recorded_no_more(journal: HostJournal, tmp_path: Path) -> None:
    journal.packages(["zstd", "docker.io"])
    journal.file(str(tmp_path / "new"), b"ours")
    journal.undone(journal.entries()[2])
    journal.undone(journal.entries()[0])
    assert [entry.name for entry in journal.entries()] == ["docker.io"]
    # Changed anew, it is recorded anew.
    (tmp_path / "new").write_bytes(b"theirs")
    journal.file(str(tmp_path / "new"), b"ours again")
    assert journal.entries()[1].before["content"] == encoded(b"theirs")
    assert journal.entries()[1].wrote == (encoded(b"ours again"),)
