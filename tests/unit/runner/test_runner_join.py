# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Several runs in one report: nothing is lost, nothing is mixed, and what can't be compared is refused."""

from __future__ import annotations

import csv
import json
import typing as t
from pathlib import Path

import pytest
from synthetic import Synthetic
from typer.testing import CliRunner

from vcompare_runner.bundle.join import join
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.cli.app import app
from vcompare_runner.core.errors import UsageError
from vcompare_runner.report import build_report, write_joined_report

MONDAY, TUESDAY = "20261123-101500-aaaaaa", "20261124-101500-bbbbbb"


def monday(**changes: t.Any) -> Synthetic:
    return Synthetic(**{"run": MONDAY, "scenarios": ("startup", "cpu"), "blocks": 6} | changes)


def tuesday(**changes: t.Any) -> Synthetic:
    return Synthetic(
        **{"run": TUESDAY, "scenarios": ("syscall",), "blocks": 8, "seed": 5} | changes
    )


def figures(report: dict[str, t.Any]) -> dict[tuple[str, str], tuple[t.Any, ...]]:
    """What a report says of each scenario and arm, without the numbers of blocks."""
    return {
        (scenario["scenario"], arm["arm"]): (
            arm["median"],
            arm["ratio"],
            [each["value"] for each in arm["values"]],
            [each["log_ratio"] for each in arm["block_ratios"]],
        )
        for scenario in report["scenarios"]
        for arm in scenario["arms"]
    }


def test_each_run_says_in_a_joined_report_what_it_says_alone(tmp_path: Path) -> None:
    bundles = [load_bundle(each.write(tmp_path)) for each in (monday(), tuesday())]

    joined = build_report(join(bundles))

    alone = [figures(build_report(bundle)) for bundle in bundles]
    assert figures(joined) == alone[0] | alone[1]
    assert joined["run"]["profile"]["scenarios"] == ["startup", "cpu", "syscall"]
    assert [
        note["text"].split()[0] for note in joined["notes"] if note["code"] == "joined-run"
    ] == [
        MONDAY,
        TUESDAY,
    ]
    assert MONDAY in joined["reproduce"]["report"] and TUESDAY in joined["reproduce"]["report"]


def test_blocks_of_one_scenario_add_up_and_pair_within_their_run(tmp_path: Path) -> None:
    # Twice as fast a machine on Tuesday: a block that was paired with the other day's bare would show it.
    one = monday(noise=0.0)
    two = tuesday(noise=0.0, scenarios=("startup", "cpu"), drift=0.9)
    bundles = [load_bundle(each.write(tmp_path)) for each in (one, two)]

    joined = figures(build_report(join(bundles)))

    alone = [figures(build_report(bundle)) for bundle in bundles]
    for key, (_median, ratio, values, log_ratios) in joined.items():
        assert values == alone[0][key][2] + alone[1][key][2]
        assert log_ratios == alone[0][key][3] + alone[1][key][3]
        assert ratio == pytest.approx(alone[0][key][1]), key


def test_what_was_refused_stays_refused(tmp_path: Path) -> None:
    bundles = [
        load_bundle(each.write(tmp_path))
        for each in (monday(refused={"kvm": "no proof"}), tuesday(failed={"docker": "it fell"}))
    ]

    report = build_report(join(bundles))

    problems = {(each["arm"], each["status"], each["blocks"][0]) for each in report["problems"]}
    # Blocks of the second run begin after the six of the first.
    assert {("kvm", "refused", 1), ("docker", "failed", 7)} <= problems
    assert ("startup", "kvm") not in {
        key for key, (median, *_rest) in figures(report).items() if median is not None
    }
    assert figures(report)["syscall", "kvm"][0] is not None


def test_every_sample_is_in_the_table_under_its_own_run(tmp_path: Path) -> None:
    folders = [each.write(tmp_path) for each in (monday(), tuesday())]

    index = write_joined_report(folders, tmp_path / "both")

    with (index.parent / "samples.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    counts = {run: sum(row["run"] == run for row in rows) for run in (MONDAY, TUESDAY)}
    assert counts == {
        folder.name: len((folder / "samples.jsonl").read_text().splitlines()) for folder in folders
    }
    assert (
        len({(row["run"], row["block"]) for row in rows})
        == 6 + 8
        == len({row["block"] for row in rows})
    )
    assert json.loads((index.parent / "report.json").read_text())["run"]["complete"] is True
    title, _blank, lead = (index.parent / "report.md").read_text().splitlines()[:3]
    assert title.endswith(": 2 runs, joined")
    assert lead.endswith(f"Runs: {MONDAY}, {TUESDAY}.")
    assert "2 runs, joined" in index.read_text()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"image": {"digest": "sha256:" + "00" * 32}}, "root file system"),
        ({"instance": {"vcpus": 2, "memory_mib": 256}}, "size of an instance"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, changes: dict[str, t.Any], word: str
) -> None:
    folders = [each.write(tmp_path) for each in (monday(), tuesday())]
    manifest = json.loads((folders[1] / "manifest.json").read_text()) | changes
    (folders[1] / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(UsageError, match=word):
        join([load_bundle(folder) for folder in folders])


def test_other_substrates_and_the_same_run_twice_are_refused(tmp_path: Path) -> None:
    first = load_bundle(monday().write(tmp_path))
    metal = load_bundle(tuesday(substrate="metal").write(tmp_path))

    with pytest.raises(UsageError, match="substrate"):
        join([first, metal])
    with pytest.raises(UsageError, match="more than once"):
        join([first, first])


def test_hosts_that_changed_in_between_are_named(tmp_path: Path) -> None:
    folders = [each.write(tmp_path) for each in (monday(), tuesday())]
    path = folders[1] / "facts" / "lab-xen.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kernel": "6.12.1"}))

    notes = join([load_bundle(folder) for folder in folders]).notes

    assert [
        note.text.partition(":")[2].strip() for note in notes if note.code == "joined-hosts-differ"
    ] == ["kernel"]


def test_a_report_of_several_runs_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = [str(each.write(tmp_path)) for each in (monday(), tuesday())]
    runner = CliRunner()

    refused = runner.invoke(app, ["report", *folders])
    written = runner.invoke(app, ["report", *folders, "--output", str(tmp_path / "both")])

    assert refused.exit_code != 0
    assert written.exit_code == 0, written.output
    assert (tmp_path / "both" / "index.html").exists()
