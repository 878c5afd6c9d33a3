# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The root file system that instances of bare share: it goes when nobody stands on it, and not before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import bare


def test_a_file_system_goes_with_tidy_once_it_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(bare, "host_run", lambda argv, *_rest: ran.append(argv))
    monkeypatch.setattr(bare.Path, "is_mount", lambda path: path.name.startswith("rootfs-"))
    there = bare.Bare(str(tmp_path))
    there.store.ensure()
    used, free = tmp_path / "rootfs-used", tmp_path / "rootfs-free"
    for path in (used, free):
        path.mkdir()
        there.journal.create("mount", str(path), "measure")
    monkeypatch.setattr(
        there,
        "store",
        SimpleNamespace(
            lock=there.store.lock, records=lambda: [{"lower": str(used)}], state_dir=str(tmp_path)
        ),
    )
    there.tidy(60)
    assert ran == [["umount", str(free)]]
    assert used.is_dir() and not free.exists()
    assert [entry["id"] for entry in there.journal.pending("mount")] == [str(used)]
