# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A doctored bundle is detected and named, one way of doctoring at a time."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.plugin_utils import chain
from chained import chain_up
from synthetic import Synthetic, read_lines, write_lines

from vcompare_runner.bundle import integrity
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core.errors import BundleError

Record = dict[str, t.Any]
OTHER_RUN = "20250101-000000-ffffff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A chained bundle of two hosts, 4 blocks, 20 samples on lab-linux and 10 on lab-xen a block."""
    made = Synthetic(arms=("bare", "docker", "xen-pv"), scenarios=("startup", "cpu"), blocks=4)
    return chain_up(made.write(tmp_path / "runs"))


def said(bundle: Bundle, code: str) -> str:
    return "\n".join(note.text for note in bundle.notes if note.code == code)


def not_used(bundle: Bundle) -> set[tuple[int, str]]:
    """Blocks of a host of which not a single sample is used."""
    samples = bundle.samples
    used: dict[tuple[int, str], bool] = {}
    for index in range(len(samples)):
        place = (int(samples.block[index]), samples.keys[samples.series[index]].host)
        used[place] = used.get(place, False) or bool(samples.used[index])
    return {place for place, any_used in used.items() if not any_used}


def doctor(folder: Path, name: str, change: t.Callable[[list[bytes]], None]) -> None:
    path = folder / name
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def edit(line: bytes, **fields: t.Any) -> bytes:
    record = {**json.loads(line), **fields}
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def line_of(folder: Path, name: str, block: int, host: str) -> int:
    """Index of the first line of a block of a host."""
    return next(
        index
        for index, record in enumerate(read_lines(folder / name))
        if (record["block"], record["host"]) == (block, host)
    )


def test_what_nobody_touched(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.notes == ()
    assert bundle.samples.used.sum() == len(bundle.samples)


def test_both_sides_hash_the_same(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert integrity.canonical(manifest) == chain.canonical(manifest)
    assert integrity.MANIFEST_LATER == chain.MANIFEST_LATER


@pytest.mark.parametrize("name", ["samples.jsonl", "proofs.jsonl"])
def test_a_changed_line(folder: Path, name: str) -> None:
    index = line_of(folder, name, 2, "lab-xen")

    def change(lines: list[bytes]) -> None:
        # A single digit or letter, the same length.
        lines[index] = lines[index].replace(b'"block":2', b'"block":2 ', 1)

    doctor(folder, name, change)
    bundle = load_bundle(folder)
    text = said(bundle, "changed-line")
    assert f"{name}, line {index + 1}: was changed" in text
    assert "block 2 of lab-xen" in text
    assert not_used(bundle) == {(2, "lab-xen")}


def test_a_better_value(folder: Path) -> None:
    index = line_of(folder, "samples.jsonl", 3, "lab-linux") + 2

    def change(lines: list[bytes]) -> None:
        lines[index] = edit(lines[index], value=9999.0)

    doctor(folder, "samples.jsonl", change)
    bundle = load_bundle(folder)
    assert f"samples.jsonl, line {index + 1}: was changed" in said(bundle, "changed-line")
    assert not_used(bundle) == {(3, "lab-linux")}


def test_a_changed_line_of_a_block(folder: Path) -> None:
    def change(lines: list[bytes]) -> None:
        lines[2] = edit(lines[2], host_elapsed_s=12.5)

    doctor(folder, "blocks.jsonl", change)
    bundle = load_bundle(folder)
    assert "blocks.jsonl, line 3: block 2 of lab-linux was changed" in said(bundle, "changed-line")
    assert not_used(bundle) == {(2, "lab-linux")}


def test_a_hash_that_was_taken_away(folder: Path) -> None:
    def change(lines: list[bytes]) -> None:
        record = json.loads(lines[4])
        del record["sha256"]
        lines[4] = (json.dumps(record) + "\n").encode()

    doctor(folder, "blocks.jsonl", change)
    bundle = load_bundle(folder)
    assert "line 5: block 3 of lab-linux has lost its hash" in said(bundle, "changed-line")
    assert (3, "lab-linux") in not_used(bundle)


@pytest.mark.parametrize("name", ["samples.jsonl", "proofs.jsonl"])
def test_a_missing_line(folder: Path, name: str) -> None:
    index = line_of(folder, name, 2, "lab-linux") + 1
    doctor(folder, name, lambda lines: lines.__delitem__(index))
    bundle = load_bundle(folder)
    text = said(bundle, "missing-line")
    assert f"{name}, line {index}: a line is missing after this one" in text
    assert "block 2 of lab-linux" in text
    assert not_used(bundle) == {(2, "lab-linux")}


def test_a_missing_block(folder: Path) -> None:
    doctor(folder, "blocks.jsonl", lambda lines: lines.__delitem__(3))
    bundle = load_bundle(folder)
    assert "blocks.jsonl, line 4: a line before it is missing" in said(bundle, "missing-line")
    assert not_used(bundle) == {(2, "lab-xen")}


def test_a_missing_last_block(folder: Path) -> None:
    doctor(folder, "blocks.jsonl", lambda lines: lines.__delitem__(-1))
    assert "its last line is missing" in said(load_bundle(folder), "missing-line")


def test_reordered_blocks(folder: Path) -> None:
    def swap(lines: list[bytes]) -> None:
        lines[2], lines[4] = lines[4], lines[2]

    doctor(folder, "blocks.jsonl", swap)
    bundle = load_bundle(folder)
    text = said(bundle, "moved-line")
    assert "blocks.jsonl, line 3: block 3 of lab-linux is not where it was written" in text
    assert "blocks.jsonl, line 5: block 2 of lab-linux is not where it was written" in text
    assert {(2, "lab-linux"), (3, "lab-linux")} <= not_used(bundle)


def test_a_duplicate_block(folder: Path) -> None:
    doctor(folder, "blocks.jsonl", lambda lines: lines.insert(2, lines[0]))
    bundle = load_bundle(folder)
    text = said(bundle, "duplicate-block")
    assert "blocks.jsonl, line 3: block 1 of lab-linux is there already, in line 1" in text
    assert not_used(bundle) == set()


def test_a_doctored_copy_of_a_block_does_not_win(folder: Path) -> None:
    doctor(folder, "blocks.jsonl", lambda lines: lines.append(edit(lines[0], order=["kvm"])))
    bundle = load_bundle(folder)
    assert "line 9: block 1 of lab-linux is there already" in said(bundle, "duplicate-block")
    assert bundle.blocks[0].order != ["kvm"]


def test_samples_that_are_there_twice(folder: Path) -> None:
    first = line_of(folder, "samples.jsonl", 2, "lab-xen")
    doctor(folder, "samples.jsonl", lambda lines: lines.append(lines[first]))
    bundle = load_bundle(folder)
    assert "was added" in said(bundle, "added-line")
    assert not_used(bundle) == {(2, "lab-xen")}


def test_a_sample_from_another_run(folder: Path) -> None:
    index = line_of(folder, "samples.jsonl", 2, "lab-xen") + 1
    doctor(
        folder,
        "samples.jsonl",
        lambda lines: lines.insert(index, edit(lines[index], run=OTHER_RUN, value=1.0)),
    )
    bundle = load_bundle(folder)
    assert f"samples.jsonl, line {index + 1}: was added" in said(bundle, "added-line")
    assert OTHER_RUN in said(bundle, "other-run")
    assert not_used(bundle) == {(2, "lab-xen")}


@pytest.mark.parametrize("value", [-2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["value", "host_elapsed_s", "guest_elapsed_s"])
@pytest.mark.parametrize("chained", [True, False])
def test_a_time_that_can_not_be(
    folder: Path, tmp_path: Path, field: str, value: float, chained: bool
) -> None:
    if not chained:
        folder = Synthetic(blocks=3).write(tmp_path / "plain")

    def change(lines: list[bytes]) -> None:
        lines[4] = edit(lines[4], **{field: value})

    doctor(folder, "samples.jsonl", change)
    bundle = load_bundle(folder)
    text = said(bundle, "impossible-value") + said(bundle, "changed-line")
    assert "samples.jsonl, line 5" in text
    assert not bundle.samples.used[4]
    if not chained:
        assert f"impossible {field}" in text


@pytest.mark.parametrize("value", [-2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["controller_elapsed_s", "host_elapsed_s"])
def test_a_block_whose_time_can_not_be(folder: Path, field: str, value: float) -> None:
    doctor(
        folder, "blocks.jsonl", lambda lines: lines.__setitem__(0, edit(lines[0], **{field: value}))
    )
    bundle = load_bundle(folder)
    text = said(bundle, "impossible-value")
    assert f"blocks.jsonl, line 1: block 1 of lab-linux: impossible {field}" in text
    assert not_used(bundle) == {(1, "lab-linux")}


def test_a_removed_raw_text_of_a_sample(folder: Path) -> None:
    sample = read_lines(folder / "samples.jsonl")[3]
    (folder / "raw" / f"{sample['evidence']}.txt").unlink()
    bundle = load_bundle(folder)
    assert f"raw/{sample['evidence']}.txt: the raw text is missing" in said(bundle, "missing-raw")
    for index in range(len(bundle.samples)):
        key = bundle.samples.keys[bundle.samples.series[index]]
        same = (key.arm, key.host, bundle.samples.block[index]) == (
            sample["arm"],
            sample["host"],
            1,
        )
        assert bundle.samples.used[index] == (not same)


def test_a_changed_raw_text(folder: Path) -> None:
    sample = read_lines(folder / "samples.jsonl")[3]
    (folder / "raw" / f"{sample['evidence']}.txt").write_text("better")
    bundle = load_bundle(folder)
    assert f"raw/{sample['evidence']}.txt: the raw text was changed" in said(bundle, "changed-raw")
    assert not bundle.samples.used[3]


def test_a_removed_raw_text_that_no_sample_names(folder: Path) -> None:
    named = {record["evidence"] for record in read_lines(folder / "samples.jsonl")}
    line = read_lines(folder / "blocks.jsonl")[0]
    (other,) = set(line["chain"]["raw"]) - named
    (folder / "raw" / f"{other}.txt").unlink()
    assert not_used(load_bundle(folder)) == {(1, "lab-linux")}


def test_no_raw_texts_at_all(folder: Path) -> None:
    for path in (folder / "raw").iterdir():
        path.unlink()
    (folder / "raw").rmdir()
    bundle = load_bundle(folder)
    assert "missing" in said(bundle, "missing-raw")
    assert not bundle.samples.used.any()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"claims": {"sha256": "", "files": [], "claims": []}},
        {"created_at": "2026-01-01T00:00:00Z"},
        {"arms": []},
    ],
)
def test_a_changed_manifest_makes_the_bundle_unusable(folder: Path, change: Record) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(
        BundleError, match=r"manifest\.json was changed after the run had begun"
    ) as e:
        load_bundle(folder)
    assert e.value.remedy


def test_what_is_written_at_the_end_is_no_change(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | {"finished_at": None, "stopped": None}
    path.write_text(json.dumps(manifest))
    assert load_bundle(folder).notes == ()


def test_an_old_bundle_is_used_with_a_note(tmp_path: Path) -> None:
    bundle = load_bundle(Synthetic().write(tmp_path))
    assert "no chain of hashes" in said(bundle, "no-chain")
    assert bundle.samples.used.all()


def test_a_run_that_an_older_version_began(folder: Path) -> None:
    """Its first lines have no hash; the chain begins at the last of them."""
    lines = read_lines(folder / "blocks.jsonl")
    old = [{k: v for k, v in line.items() if k not in ("chain", "sha256")} for line in lines[:3]]
    write_lines(folder / "blocks.jsonl", old)
    folder_bytes = (folder / "samples.jsonl").read_bytes()
    rest = [(line["block"], line["host"]) for line in lines[3:]]
    samples = [json.loads(line) for line in folder_bytes.splitlines()]
    proofs = read_lines(folder / "proofs.jsonl")
    write_lines(
        folder / "samples.jsonl", [s for s in samples if (s["block"], s["host"]) not in rest]
    )
    write_lines(folder / "proofs.jsonl", [p for p in proofs if (p["block"], p["host"]) not in rest])
    from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle as Writer

    writer = Writer(folder)
    for line in lines[3:]:
        place = (line["block"], line["host"])
        writer.append(
            {
                **line,
                "samples": [s for s in samples if (s["block"], s["host"]) == place],
                "proofs": [p for p in proofs if (p["block"], p["host"]) == place],
                "raw": {
                    key: (folder / "raw" / f"{key}.txt").read_text() for key in line["chain"]["raw"]
                },
            },
            1.0,
        )
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["last_block_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    bundle = load_bundle(folder)
    assert "3 blocks were written without a hash" in said(bundle, "no-chain")
    assert {note.code for note in bundle.notes} == {"no-chain"}
    assert bundle.samples.used.all()
    doctor(folder, "blocks.jsonl", lambda each: each.__delitem__(2))
    assert "missing" in said(load_bundle(folder), "missing-line")


def test_checking_many_samples_is_fast(tmp_path: Path) -> None:
    """The pace that a million samples need: a hundred thousand in far less than a second each."""
    folder = Synthetic(
        arms=("bare", "docker"), scenarios=("cpu",), blocks=5, iterations=10_000
    ).write(tmp_path)
    lines = read_lines(folder / "samples.jsonl")
    for record in lines:
        record["evidence"] = None
    write_lines(folder / "samples.jsonl", lines)
    by_place: dict[tuple[int, str], list[Record]] = {}
    for record in lines:
        by_place.setdefault((record["block"], record["host"]), []).append(record)
    blocks = read_lines(folder / "blocks.jsonl")
    proofs = read_lines(folder / "proofs.jsonl")
    manifest = json.loads((folder / "manifest.json").read_text())
    previous = manifest["run"]
    samples_file, proofs_file, chained = b"", b"", []
    for line in blocks:
        place = (line["block"], line["host"])
        samples = b"".join(edit(json.dumps(r).encode()) for r in by_place[place])
        own = b"".join(
            edit(json.dumps(p).encode()) for p in proofs if (p["block"], p["host"]) == place
        )
        linked = chain.chained(line, previous, samples, own, [], manifest)
        previous = linked["sha256"]
        samples_file, proofs_file = samples_file + samples, proofs_file + own
        chained.append(linked)
    (folder / "samples.jsonl").write_bytes(samples_file)
    (folder / "proofs.jsonl").write_bytes(proofs_file)
    write_lines(folder / "blocks.jsonl", chained)
    begun = time.process_time()
    found = integrity.check(folder)
    took = time.process_time() - begun
    assert found.findings == []
    assert len(samples_file.splitlines()) > 100_000
    assert took < 1
