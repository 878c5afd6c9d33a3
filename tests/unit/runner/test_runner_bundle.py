# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Loading bundles: what is tolerated and noted, and what is an error."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import numpy as np
import pytest
from chained import chain_up
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import RUN, Synthetic, read_lines, write_lines

from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core.errors import BundleError
from vcompare_runner.core.lines import is_cut_off


def notes(bundle: Bundle) -> dict[str, str]:
    return {note.code: note.text for note in bundle.notes}


def change(folder: Path, name: str, alter: t.Callable[[list[dict[str, t.Any]]], None]) -> None:
    records = read_lines(folder / name)
    alter(records)
    write_lines(folder / name, records)


def test_a_whole_bundle_has_no_notes(bundle_dir: Path) -> None:
    bundle = load_bundle(chain_up(bundle_dir))
    assert bundle.notes == ()
    assert bundle.samples.used.all()
    assert len(bundle.blocks) == 14
    assert set(bundle.facts) == {"lab-linux", "lab-xen"}
    assert bundle.manifest.run == RUN


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no folder") as caught:
        load_bundle(tmp_path / "nowhere")
    assert "vcompare runs" in caught.value.remedy


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json") as caught:
        load_bundle(tmp_path)
    assert "--resume" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "broken"),
        ("[]", "broken"),
        ("{}", "Field required"),
        ("not json", "broken"),
    ],
)
def test_broken_manifest(bundle_dir: Path, text: str, says: str) -> None:
    (bundle_dir / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(bundle_dir)
    assert "manifest.json" in caught.value.message
    assert caught.value.remedy


def test_newer_schema(bundle_dir: Path) -> None:
    manifest = json.loads((bundle_dir / "manifest.json").read_text()) | {"schema": 2}
    (bundle_dir / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="schema 2"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize("name", ["samples.jsonl", "proofs.jsonl", "blocks.jsonl"])
def test_cut_off_last_line_is_noted(bundle_dir: Path, name: str) -> None:
    path = bundle_dir / name
    path.write_bytes(path.read_bytes()[:-30])
    bundle = load_bundle(bundle_dir)
    text = notes(bundle)["cut-off-line"]
    assert name in text
    assert str(len(path.read_bytes().splitlines())) in text


def test_cut_off_line_before_those_of_a_resumed_run_is_noted(bundle_dir: Path) -> None:
    path = bundle_dir / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:10], lines[10][:50] + b"\n", *lines[11:]]))
    bundle = load_bundle(bundle_dir)
    assert "line 11" in notes(bundle)["cut-off-line"]
    assert len(bundle.samples) == len(lines) - 1


def test_a_line_that_is_no_json_is_an_error(bundle_dir: Path) -> None:
    path = bundle_dir / "samples.jsonl"
    lines = path.read_text().splitlines()
    lines[6] = "garbage"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BundleError, match="line 7"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "12.5"),
        ("value", True),
        ("block", 1.5),
        ("block", "1"),
        ("status", "fine"),
        ("direction", "up"),
        ("warmup", 0),
        ("arm", None),
        ("schema", 7),
    ],
)
def test_a_wrong_type_names_line_and_field(bundle_dir: Path, field: str, value: t.Any) -> None:
    change(bundle_dir, "samples.jsonl", lambda records: records[4].update({field: value}))
    with pytest.raises(BundleError, match="line 5") as caught:
        load_bundle(bundle_dir)
    assert field in caught.value.message


def test_a_missing_field_is_named(bundle_dir: Path) -> None:
    change(bundle_dir, "samples.jsonl", lambda records: records[4].pop("unit"))
    with pytest.raises(BundleError, match=r"line 5.*unit"):
        load_bundle(bundle_dir)


def test_unfinished_block_is_not_used(bundle_dir: Path) -> None:
    change(
        bundle_dir,
        "blocks.jsonl",
        lambda records: records.remove(
            next(r for r in records if (r["block"], r["host"]) == (7, "lab-xen"))
        ),
    )
    bundle = load_bundle(bundle_dir)
    assert "block 7 of lab-xen was not finished" in notes(bundle)["unfinished-block"]
    samples = bundle.samples
    for index, used in enumerate(samples.used):
        key = samples.keys[samples.series[index]]
        assert used == ((int(samples.block[index]), key.host) != (7, "lab-xen"))
    assert not any((proof.block, proof.host) == (7, "lab-xen") for proof in bundle.proofs)


def test_duplicate_block_is_named_and_counts_once(bundle_dir: Path) -> None:
    change(bundle_dir, "blocks.jsonl", lambda records: records.append(dict(records[0])))
    bundle = load_bundle(bundle_dir)
    assert "block 1 of lab-linux" in notes(bundle)["duplicate-block"]
    assert len(bundle.blocks) == 14


def test_samples_of_an_attempt_that_was_repeated_give_way(bundle_dir: Path) -> None:
    """A run that is interrupted after writing samples and before the block's line measures it again."""

    def twice(records: list[dict[str, t.Any]]) -> None:
        again = [
            dict(record, value=record["value"] * 2) for record in records if record["block"] == 3
        ]
        records.extend(again)

    before = len(read_lines(bundle_dir / "samples.jsonl"))
    change(bundle_dir, "samples.jsonl", twice)
    bundle = load_bundle(bundle_dir)
    assert "there again later" in notes(bundle)["duplicate-sample"]
    assert bundle.samples.used.sum() == before
    assert bundle.samples.used[before:].all()


@pytest.mark.parametrize("name", ["samples.jsonl", "proofs.jsonl", "blocks.jsonl"])
def test_records_of_another_run_are_named(bundle_dir: Path, name: str) -> None:
    change(bundle_dir, name, lambda records: records[0].update(run="20250101-000000-ffffff"))
    bundle = load_bundle(bundle_dir)
    assert "20250101-000000-ffffff" in notes(bundle)["other-run"]
    assert name in notes(bundle)["other-run"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -3.5, 0.0, 0])
def test_impossible_values_are_named_and_left_out(bundle_dir: Path, value: float) -> None:
    change(bundle_dir, "samples.jsonl", lambda records: records[9].update(value=value))
    bundle = load_bundle(bundle_dir)
    assert not bundle.samples.used[9]
    assert bundle.samples.used.sum() == len(bundle.samples) - 1
    text = notes(bundle)["impossible-value"]
    assert repr(float(value)) in text
    assert "of bare on lab-linux, block 1" in text


def test_ok_without_a_value_is_named(bundle_dir: Path) -> None:
    change(bundle_dir, "samples.jsonl", lambda records: records[9].update(value=None))
    bundle = load_bundle(bundle_dir)
    assert not bundle.samples.used[9]
    assert "no value" in notes(bundle)["missing-value"]


def test_failed_sample_with_a_value_is_not_used(bundle_dir: Path) -> None:
    change(
        bundle_dir,
        "samples.jsonl",
        lambda records: records[9].update(status="failed", reason="timeout"),
    )
    bundle = load_bundle(bundle_dir)
    assert not bundle.samples.used[9]
    assert bundle.samples.why_not[9] == "failed: timeout"
    assert "unexpected-value" in notes(bundle)


def test_an_arm_that_is_not_proven_has_no_figures(bundle_dir: Path) -> None:
    def doubt(records: list[dict[str, t.Any]]) -> None:
        for record in records:
            if record["arm"] == "kvm" and record["block"] == 2:
                record.update(proven=False, reason="signature was TCGTCGTCGTCG")

    change(bundle_dir, "proofs.jsonl", doubt)
    samples = load_bundle(bundle_dir).samples
    for index, used in enumerate(samples.used):
        arm = samples.keys[samples.series[index]].arm
        assert used == (not (arm == "kvm" and samples.block[index] == 2))
    assert any("TCGTCGTCGTCG" in why for why in samples.why_not.values())


def test_an_arm_without_a_proof_has_no_figures(bundle_dir: Path) -> None:
    change(
        bundle_dir,
        "proofs.jsonl",
        lambda records: records.remove(
            next(r for r in records if (r["arm"], r["block"]) == ("kvm", 2))
        ),
    )
    samples = load_bundle(bundle_dir).samples
    assert "no proof of what the arm is" in set(samples.why_not.values())


def test_no_samples_at_all(bundle_dir: Path) -> None:
    for name in ("samples.jsonl", "proofs.jsonl", "blocks.jsonl"):
        (bundle_dir / name).unlink()
    bundle = load_bundle(bundle_dir)
    assert len(bundle.samples) == 0
    assert bundle.blocks == ()


def test_blank_lines_are_nothing(bundle_dir: Path) -> None:
    path = bundle_dir / "samples.jsonl"
    path.write_text(path.read_text().replace("\n", "\n\n"))
    assert load_bundle(bundle_dir).samples.used.all()


@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    ),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_every_beginning_of_a_record_is_cut_off_and_no_whole_one_is(
    record: dict[str, t.Any], data: st.DataObject
) -> None:
    line = json.dumps(record).encode()
    assert not is_cut_off(line)
    length = data.draw(st.integers(min_value=1, max_value=len(line) - 1))
    assert is_cut_off(line[:length])
    assert not is_cut_off(line + line), "two records on a line are not a cut-off one"


def test_many_samples_load_fast(tmp_path: Path) -> None:
    """The pace that a million samples need: here 60,000, and far more time than they should take."""
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), blocks=5, iterations=2).write(
        tmp_path
    )
    template = read_lines(folder / "samples.jsonl")[1]
    with (folder / "samples.jsonl").open("w") as file:
        for iteration in range(60_000):
            template["iteration"] = iteration
            file.write(json.dumps(template) + "\n")
    begun = time.process_time()
    bundle = load_bundle(folder)
    assert time.process_time() - begun < 3
    assert bundle.samples.used.sum() == 60_000
    assert np.isfinite(bundle.samples.value).all()
