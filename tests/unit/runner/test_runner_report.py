# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The report: pure, self-contained, honest about what is missing."""

from __future__ import annotations

import csv
import html.parser
import json
import re
import shutil
import typing as t
from pathlib import Path

import pytest
from synthetic import Synthetic, read_lines, write_lines

from vcompare_runner.cli import summary
from vcompare_runner.core import words
from vcompare_runner.core.errors import BundleError
from vcompare_runner.report import write_report

FILES = ("index.html", "report.md", "report.json", "samples.csv", "junit.xml")
WHY = "its CPUID signature was TCGTCGTCGTCG, not XenVMMXenVMM"


class Page(html.parser.HTMLParser):
    """What a test wants to know of a page: its elements, their ids, and that they are closed in order."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def render(folder: Path) -> tuple[Page, dict[str, t.Any], str]:
    index = write_report(folder)
    return (
        Page(index.read_text()),
        json.loads((index.parent / "report.json").read_text()),
        (index.parent / "report.md").read_text(),
    )


def test_the_same_bundle_gives_the_same_bytes_wherever_it_lies(
    bundle_dir: Path, tmp_path: Path
) -> None:
    first = write_report(bundle_dir)
    assert first == bundle_dir / "report" / "index.html"
    before = {name: (first.parent / name).read_bytes() for name in FILES}
    copy = tmp_path / "elsewhere"
    shutil.copytree(bundle_dir, copy, ignore=shutil.ignore_patterns("report"))
    second = write_report(copy, tmp_path / "out" / "deep")
    assert second == tmp_path / "out" / "deep" / "index.html"
    assert {name: (second.parent / name).read_bytes() for name in FILES} == before
    assert not (copy / "report").exists()
    write_report(bundle_dir)
    assert {name: (first.parent / name).read_bytes() for name in FILES} == before
    assert str(tmp_path).encode() not in b"".join(before.values())
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(FILES)


def test_nothing_is_fetched_and_nothing_is_run(bundle_dir: Path) -> None:
    text = write_report(bundle_dir).read_text()
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "data"):
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_ids_are_unique_and_links_lead_somewhere(bundle_dir: Path) -> None:
    text = write_report(bundle_dir).read_text()
    page = Page(text)
    ids = [attributes["id"] for _tag, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [
        str(attributes["href"])[1:] for _tag, attributes in page.elements if "href" in attributes
    ]
    targets += re.findall(r"url\(#([^)]*)\)", text)
    assert set(targets) <= set(ids)


def test_pictures_are_named_and_take_the_colours_of_the_page(bundle_dir: Path) -> None:
    text = write_report(bundle_dir).read_text()
    pictures = [attributes for tag, attributes in Page(text).elements if tag == "svg"]
    for attributes in pictures:
        assert attributes["role"] == "img"
    labels = [attributes["aria-label"] or "" for attributes in pictures]
    assert sum("times bare" in label for label in labels) == 5
    assert all("95% interval" in label for label in labels)
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
        assert "<metadata" not in svg


def test_refused_and_failed_arms_with_their_reasons(tmp_path: Path) -> None:
    folder = Synthetic(
        refused={"xen-pvh": WHY},
        failed={"kvm": "no console output for 60 s"},
        unplanned={"xen-hvm": "qemu is missing"},
    ).write(tmp_path)
    page, report, markdown = render(folder)
    for why in (WHY, "no console output for 60 s", "qemu is missing"):
        assert why in page.text
        assert why in markdown
    arms = {arm["arm"]: arm for arm in report["arms"]}
    assert arms["xen-pvh"]["refused_reason"] == WHY
    assert arms["xen-pvh"]["proven"] is False
    assert arms["xen-pvh"]["proofs"][0]["observed"] == "TCGTCGTCGTCG"
    assert arms["xen-pvh"]["proofs"][0]["blocks_held"] == 0
    assert arms["kvm"]["state"] == "failed"
    assert arms["xen-hvm"]["refused_reason"] == "qemu is missing"
    assert arms["bare"]["proven"] is True
    assert arms["bare"]["refused_reason"] is None
    assert {problem["arm"] for problem in report["problems"]} == {"xen-pvh", "kvm", "xen-hvm"}
    for scenario in report["scenarios"]:
        for arm in scenario["arms"]:
            if arm["arm"] in ("xen-pvh", "kvm"):
                assert arm["median"] is None
                assert arm["ratio"] is None
                assert arm["interval"] is None


def test_report_json_has_what_it_promises(bundle_dir: Path) -> None:
    _page, report, _markdown = render(bundle_dir)
    assert set(report) >= {"schema", "run", "substrate", "arms", "scenarios", "claims", "notes"}
    assert report["substrate"] == {"lab-linux": "nested-tcg", "lab-xen": "nested-tcg"}
    assert {claim["id"]: claim["verdict"] for claim in report["claims"]}["near-native"] == "REFUSED"
    assert report["run"]["blocks_finished"] == 7
    assert set(report["arms"][0]) >= {"arm", "host", "proven", "proofs", "refused_reason"}
    scenario = report["scenarios"][0]
    assert {key: scenario[key] for key in ("scenario", "metric", "unit", "direction")} == {
        "scenario": "startup",
        "metric": "time_to_first_reply",
        "unit": "s",
        "direction": "lower",
    }
    docker = next(arm for arm in scenario["arms"] if arm["arm"] == "docker")
    assert docker["blocks"] == 7
    assert docker["interval"]["low"] <= docker["ratio"] <= docker["interval"]["high"]
    bare = next(arm for arm in scenario["arms"] if arm["arm"] == "bare")
    assert bare["baseline"] is True
    assert bare["ratio"] is None


def test_arms_that_the_accelerator_costs_are_named_with_the_remedy(tmp_path: Path) -> None:
    lost = {"xen-pvh": "needs nesting, which is off"}
    page, _report, markdown = render(Synthetic(lost=lost).write(tmp_path / "a"))
    for text in (page.text, markdown):
        assert "xen-pvh can't be measured under it: it needs nesting, which is off." in " ".join(
            text.split()
        )
        assert "Take a machine that has it." in text
    page, _report, markdown = render(Synthetic().write(tmp_path / "b"))
    assert "under it" not in page.text + markdown


@pytest.mark.parametrize(
    ("substrate", "statement"),
    [
        ("metal", "measured on real hardware"),
        ("vm", "in virtual machines of another hypervisor"),
        ("nested-kvm", "virtual machines with hardware virtualisation"),
        ("nested-tcg", "measured on emulated hardware"),
        ("unknown", "not known whether all hosts are real hardware"),
    ],
)
def test_every_substrate_gets_to_the_report(tmp_path: Path, substrate: str, statement: str) -> None:
    page, report, markdown = render(Synthetic(substrate=substrate).write(tmp_path / "b"))
    assert set(report["substrate"].values()) == {substrate}
    assert statement in page.text
    assert statement in markdown


def test_settings_that_spoil_results_are_in_the_report(tmp_path: Path) -> None:
    folder = Synthetic(substrate="metal").write(tmp_path)
    path = folder / "facts" / "lab-linux.json"
    warning = {"code": "governor", "text": "The frequency governor is <powersave>."}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": [warning]}))
    page, report, markdown = render(folder)
    hosts = {host["host"]: host["warnings"] for host in report["provenance"]["hosts"]}
    assert hosts == {"lab-linux": [warning], "lab-xen": []}
    assert "The frequency governor is <powersave>. (governor)" in page.text
    assert "(governor)" in markdown
    page, _report, markdown = render(Synthetic(substrate="metal").write(tmp_path / "quiet"))
    assert "(governor)" not in page.text + markdown


def test_emulated_hardware_is_said_in_plain_words(tmp_path: Path) -> None:
    page, _report, markdown = render(Synthetic().write(tmp_path / "a"))
    for text in (page.text, markdown):
        assert "emulated hardware" in text
        assert "Absolute times and rates do not carry over" in text
        assert "neither svm nor vmx" in text
    page, report, _markdown = render(Synthetic(substrate="metal").write(tmp_path / "b"))
    assert "emulated" not in page.text
    assert "Acceleration" not in page.text
    assert set(report["substrate"].values()) == {"metal"}


def test_colour_only_where_the_interval_excludes_one(tmp_path: Path) -> None:
    folder = Synthetic(scenarios=("cpu",), noise=0.05).write(tmp_path)
    _page, report, _markdown = render(folder)
    seen = set()
    for arm in report["scenarios"][0]["arms"]:
        if arm["interval"] is None:
            assert arm["compared"] is None
            continue
        outside = not arm["interval"]["low"] <= 1 <= arm["interval"]["high"]
        assert (arm["compared"] in ("better", "worse")) == outside
        seen.add(arm["compared"])
    # Docker's true ratio is 0.999, Xen PV's is 0.626: both kinds are there.
    assert seen == {"worse", "not distinguished"}
    text = (folder / "report" / "index.html").read_text()
    scenarios = text[text.index('<section id="scenarios"') :]
    svg = re.search(r"<svg.*?</svg>", scenarios, flags=re.DOTALL)
    assert svg is not None
    assert "var(--worse)" in svg.group()
    assert "var(--better)" not in svg.group()


@pytest.mark.parametrize(
    ("direction", "ratio", "said"), [("lower", 2.0, "worse"), ("higher", 2.0, "better")]
)
def test_direction_decides_what_is_worse(
    tmp_path: Path, direction: str, ratio: float, said: str
) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",)).write(tmp_path)
    records = read_lines(folder / "samples.jsonl")
    for record in records:
        record["direction"] = direction
        record["value"] = (ratio if record["arm"] == "docker" else 1.0) * (
            1 + record["block"] / 100
        )
    write_lines(folder / "samples.jsonl", records)
    _page, report, _markdown = render(folder)
    assert report["scenarios"][0]["arms"][1]["compared"] == said


def test_few_blocks_show_no_interval_and_say_why(tmp_path: Path) -> None:
    page, report, markdown = render(Synthetic(blocks=2).write(tmp_path))
    docker = report["scenarios"][0]["arms"][1]
    assert docker["ratio"] is not None
    assert docker["interval"] is None
    assert docker["reason"] == "2 paired blocks: a 95% interval needs at least 5"
    assert docker["reason"] in page.text
    assert "no interval" in markdown
    assert "than bare" not in page.text


@pytest.mark.parametrize(
    ("within_s", "remedy"),
    [(1200, "`vcompare compare --resume 20261124-101500-ab12cd`"), (None, "a longer --budget")],
)
def test_a_run_that_its_time_ended_says_how_to_go_on(
    tmp_path: Path, within_s: int | None, remedy: str
) -> None:
    folder = Synthetic(blocks=2).write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stopped"] = "budget"
    manifest["profile"]["within_s"] = within_s
    (folder / "manifest.json").write_text(json.dumps(manifest))
    _page, report, markdown = render(folder)
    (said,) = [line for line in summary.remarks(report) if "the time ended the run" in line]
    assert remedy in said
    assert remedy.replace("`", "\\`") in markdown


def test_an_arm_without_proof_is_refused_whatever_its_block_says(tmp_path: Path) -> None:
    folder = Synthetic(scenarios=("cpu",)).write(tmp_path)
    proofs = [record for record in read_lines(folder / "proofs.jsonl") if record["arm"] != "kvm"]
    write_lines(folder / "proofs.jsonl", proofs)
    page, report, _markdown = render(folder)
    kvm = next(arm for arm in report["arms"] if arm["arm"] == "kvm")
    assert kvm["state"] == "refused"
    assert kvm["proven"] is False
    assert kvm["refused_reason"] == "no proof of what the arm is"
    assert kvm["refused_reason"] in page.text
    assert [problem["blocks"] for problem in report["problems"]] == [[1, 2, 3, 4, 5, 6, 7]]


def test_a_single_failed_measurement_is_named(tmp_path: Path) -> None:
    folder = Synthetic(scenarios=("cpu", "fork")).write(tmp_path)
    records = read_lines(folder / "samples.jsonl")
    bad = next(r for r in records if (r["arm"], r["scenario"], r["block"]) == ("kvm", "fork", 2))
    bad.update(status="failed", value=None, reason="fork: resource temporarily unavailable")
    write_lines(folder / "samples.jsonl", records)
    page, report, _markdown = render(folder)
    (problem,) = report["problems"]
    assert (problem["arm"], problem["scenario"], problem["blocks"]) == ("kvm", "fork", [2])
    assert problem["reason"] == "fork: resource temporarily unavailable"
    assert problem["reason"] in page.text


def test_unfinished_run_says_so(tmp_path: Path) -> None:
    folder = Synthetic(finished=False).write(tmp_path)
    records = [record for record in read_lines(folder / "blocks.jsonl") if record["block"] <= 3]
    write_lines(folder / "blocks.jsonl", records)
    page, report, _markdown = render(folder)
    assert "3 of 7 blocks" in page.text
    assert "vcompare compare --resume" in page.text
    assert report["run"]["complete"] is False


def test_nothing_measured_is_a_report_too(bundle_dir: Path) -> None:
    for name in ("samples.jsonl", "proofs.jsonl", "blocks.jsonl"):
        (bundle_dir / name).unlink()
    page, report, markdown = render(bundle_dir)
    assert report["scenarios"] == []
    assert all(arm["state"] == "not measured" for arm in report["arms"])
    assert "no figure" in page.text
    assert "There is no figure" in markdown


def test_text_from_the_bundle_is_never_markup(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script> | a & b'
    folder = Synthetic(refused={"kvm": evil}).write(tmp_path)
    page, _report, markdown = render(folder)
    assert evil in page.text
    assert not any(tag == "script" for tag, _attributes in page.elements)
    assert "<script>" not in markdown
    assert r"\| a &amp; b" in markdown


def test_samples_csv_has_every_sample_and_says_why_not(tmp_path: Path) -> None:
    folder = Synthetic(refused={"kvm": 'no "proof", none'}).write(tmp_path)
    write_report(folder)
    with (folder / "report" / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    records = read_lines(folder / "samples.jsonl")
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert row["arm"] == record["arm"]
        assert row["evidence"] == (record["evidence"] or "")
        if record["arm"] == "kvm":
            assert row["value"] == ""
            assert row["used"] == "false"
            assert row["reason"] == (record["reason"] or "")
            assert 'no "proof", none' in row["why_not"]
        else:
            assert float(row["value"]) == record["value"]
            assert row["used"] == "true"


def test_two_hosts_with_the_same_arms_are_told_apart(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), substrate="metal").write(
        tmp_path
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["arms"] += [dict(plan, host="second") for plan in manifest["arms"]]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("samples.jsonl", "proofs.jsonl", "blocks.jsonl"):
        records = read_lines(folder / name)
        write_lines(folder / name, records + [dict(record, host="second") for record in records])
    page, report, _markdown = render(folder)
    assert "docker (second)" in page.text
    hosts = {
        (arm["host"], arm["baseline_host"])
        for arm in report["scenarios"][0]["arms"]
        if arm["arm"] == "docker"
    }
    assert hosts == {("lab-linux", "lab-linux"), ("second", "second")}


def test_broken_bundle_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        write_report(tmp_path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (4450.123, "4,450"),
        (0.42, "0.4200"),
        (12.345678, "12.35"),
        (0.0000123, "1.230e-05"),
        (1e9, "1.000e+09"),
    ],
)
def test_figures(value: float | None, shown: str) -> None:
    assert words.figure(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.9987, "0.999×"), (1.2345, "1.23×"), (21.33, "21.3×"), (1234.5, "1,234×")],
)
def test_ratios(value: float | None, shown: str) -> None:
    assert words.ratio(value) == shown


def test_block_lists() -> None:
    assert words.block_list([1, 2, 3, 5, 7, 8]) == "1–3, 5, 7–8"
