# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal knows what is still there, wherever its last write was cut off."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_pending_is_what_was_made_and_is_not_gone(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal.jsonl"))
    assert journal.pending() == []
    journal.create("kvm", "vc-a", "me", address="10.213.2.16")
    journal.create("docker", "vc-a", "me")
    journal.create("kvm", "vc-b", "me")
    journal.gone("kvm", "vc-a")
    assert [(r["kind"], r["id"]) for r in journal.pending()] == [
        ("docker", "vc-a"),
        ("kvm", "vc-b"),
    ]
    assert [r["id"] for r in journal.pending("kvm")] == ["vc-b"]
    journal.create("kvm", "vc-a", "you")
    assert journal.pending("kvm")[-1]["owner"] == "you"
    assert journal.records()[0]["address"] == "10.213.2.16"


def test_cut_off_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(str(path))
    journal.create("kvm", "vc-a", "me")
    kept = path.stat().st_size
    journal.create("kvm", "vc-b", "me")
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        names = [record["id"] for record in journal.pending()]
        # a record counts from its closing brace on, with or without the line's end
        expected = ["vc-a"] if size >= kept - 1 else []
        expected += ["vc-b"] if size >= len(whole) - 1 else []
        assert names == expected, size
        journal.create("kvm", "vc-new", "me")  # whoever comes next is not lost in the broken line
        assert [record["id"] for record in journal.pending()] == [*expected, "vc-new"], size


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=12))
def test_pending_is_the_last_word(tmp_path: Path, steps: list[tuple[bool, str]]) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal(str(path))
    expected: set[str] = set()
    for made, name in steps:
        if made:
            journal.create("x", name, "me")
            expected.add(name)
        else:
            journal.gone("x", name)
            expected.discard(name)
    assert {record["id"] for record in journal.pending()} == expected


def _write(path: str, number: int) -> None:
    for step in range(20):
        Journal(path).create("x", f"{number}-{step}", "me")


def test_many_writers(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.jsonl")
    workers = [multiprocessing.Process(target=_write, args=(path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(Journal(path).records()) == 80
