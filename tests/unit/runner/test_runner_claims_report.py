# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Verdicts in the report: the same in every format, and readable."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from synthetic import Synthetic, read_lines, write_lines
from test_runner_claims_schema import CLAIM, TEST, changed, declared
from test_runner_report import Page, render

from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.cli import summary
from vcompare_runner.core import words
from vcompare_runner.report import build_report, forest, view, write_report

EVIL = '<script>alert("x")</script> | a & b \x07'


def junit(folder: Path) -> dict[str, ET.Element]:
    root = ET.parse(folder / "report" / "junit.xml").getroot()  # noqa: S314 - our own
    return {case.attrib["name"]: case for case in root.iter("testcase")}


@pytest.fixture
def metal(tmp_path: Path) -> Path:
    return Synthetic(substrate="metal", blocks=15, noise=0.015).write(tmp_path)


def test_every_format_says_the_same(metal: Path) -> None:
    page, report, markdown = render(metal)
    cases = junit(metal)
    claims = {claim["id"]: claim for claim in report["claims"]}
    assert list(cases) == list(claims)
    assert claims["startup"]["verdict"] == "CONFIRMED"
    assert claims["near-native"]["verdict"] == "MIXED"
    assert {claim["verdict"] for name, claim in claims.items() if name not in list(claims)[:2]} == {
        "NOT RUN"
    }
    text = " ".join(page.text.split())
    for claim in claims.values():
        assert claim["title"] in text
        assert claim["sentence"] in text
        said = " ".join("".join(cases[claim["id"]].itertext()).split())
        assert said.startswith(claim["verdict"])
        assert claim["sentence"] in said
    for verdict in ("CONFIRMED", "MIXED", "NOT RUN"):
        assert f"### {verdict}" in markdown
        assert verdict in page.text


def test_verdicts_come_first(metal: Path) -> None:
    page, _report, markdown = render(metal)
    sections = [a["id"] for tag, a in page.elements if tag == "section"]
    assert sections[0] == "claims"
    assert markdown.index("## Verdicts") < markdown.index("## Results")


def test_a_picture_for_each_claim_with_data(metal: Path) -> None:
    page, report, _markdown = render(metal)
    labels = [a["aria-label"] or "" for tag, a in page.elements if tag == "svg"]
    assert sum("kvm / docker" in label and "above 2×: holds" in label for label in labels) == 1
    assert any("docker − bare" in label and "below 10 s: holds" in label for label in labels)
    for claim in report["claims"]:
        drawn = forest.pictures(claim["tests"], "x")
        assert bool(drawn) == (claim["verdict"] != "NOT RUN")
    # A point a block in each row, beside the diamonds.
    tests = [test for test in report["claims"][1]["tests"] if test["blocks"]]
    (svg,) = forest.pictures(tests, "x")
    assert len(re.findall(r"<use ", svg)) >= 15 * len(tests)


def test_many_blocks_are_thinned_in_the_picture_only(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), blocks=450, iterations=1).write(
        tmp_path
    )
    page, report, _markdown = render(folder)
    test = report["claims"][1]["tests"][0]
    assert len(test["blocks"]) == 450
    assert "points are drawn for some" in page.text
    assert f"The first {view.MOST_ROWS} of 450 blocks" in page.text
    (svg,) = forest.pictures([test], "x")
    assert len(re.findall(r"<use ", svg)) < 300


def test_which_arm_for_which_need(metal: Path, tmp_path: Path) -> None:
    page, report, markdown = render(metal)
    needs = {need["need"]: need for need in report["needs"]}
    assert needs["start fast"]["favours"] == [{"arm": "docker", "claim": "startup"}]
    # Silent where nothing is confirmed.
    assert needs["run at the host's speed"]["favours"] == []
    assert needs["isolate tenants"]["favours"] == []
    assert "Which should I use, here?" in page.text
    assert "| start fast | docker ([startup](#claim-startup)) |" in markdown
    # Each cell leads to its evidence, also that of a claim that was not run.
    led_to = set(re.findall(r"\]\(#([a-z0-9-]+)\)", markdown))
    assert {f"claim-{claim['id']}" for claim in report["claims"]} == led_to
    assert all(markdown.count(f'<a id="{anchor}"></a>') == 1 for anchor in led_to)
    _page, report, _markdown = render(Synthetic().write(tmp_path / "emulated"))
    assert all(need["favours"] == [] for need in report["needs"])


def test_emulated_hardware_gives_ratios_and_no_verdict_on_speed(bundle_dir: Path) -> None:
    page, report, _markdown = render(bundle_dir)
    startup = report["claims"][0]
    assert startup["verdict"] == "REFUSED"
    assert "emulated hardware only" in page.text
    assert startup["settle"] == "the same run on real hardware, or on nodes with KVM acceleration"
    assert startup["settle"] in page.text


def test_no_verdict_is_a_failed_test_case(metal: Path, tmp_path: Path) -> None:
    refuted = changed(direction="above", margin=2.0)
    folder = Synthetic(substrate="metal", claims=declared(refuted)).write(tmp_path / "refuted")
    _page, report, _markdown = render(folder)
    assert [claim["verdict"] for claim in report["claims"]] == ["REFUTED"]
    assert junit(folder)["ours"].find("skipped") is None
    write_report(metal)
    for path in (folder, metal):
        root = ET.parse(path / "report" / "junit.xml").getroot()  # noqa: S314 - our own
        assert not list(root.iter("failure"))
        assert not list(root.iter("error"))
    cases = junit(metal)
    assert cases["startup"].find("skipped") is None
    assert cases["density"].find("skipped") is not None


def test_text_of_claims_is_never_markup(tmp_path: Path) -> None:
    claim = json.loads(json.dumps(CLAIM)) | {"title": EVIL, "need": EVIL[:60], "favours": []}
    claim["tests"] = [TEST | {"why": EVIL}, TEST | {"name": "other", "scenario": EVIL[:50]}]
    folder = Synthetic(substrate="metal", claims=declared(claim)).write(tmp_path)
    page, report, markdown = render(folder)
    assert report["claims"][0]["title"] == EVIL
    assert EVIL in page.text
    assert not any(tag == "script" for tag, _attributes in page.elements)
    assert "<script>" not in markdown
    # A control character is not XML; the rest is there as it was.
    said = "".join(junit(folder)["ours"].itertext())
    assert EVIL.replace("\x07", "\ufffd") in said


def test_a_run_of_old_says_that_it_declared_nothing(bundle_dir: Path) -> None:
    page, report, _markdown = render(bundle_dir)
    assert report["catalogue"]["declared"] is False
    assert "declared no claims before it began" in " ".join(page.text.split())
    assert "claims-not-declared" in {note["code"] for note in report["notes"]}


def test_a_run_that_declared_its_claims(tmp_path: Path) -> None:
    folder = Synthetic(substrate="metal", claims=declared(CLAIM)).write(tmp_path)
    page, report, _markdown = render(folder)
    assert report["catalogue"]["declared"] is True
    assert [claim["id"] for claim in report["claims"]] == ["ours"]
    assert "declared before the first sample" in page.text
    assert "--claims ours.yml" in report["reproduce"]["measure"]


def test_a_questioned_result_is_seen(tmp_path: Path) -> None:
    ratios: dict[str, dict[str, float]] = {"cpu": {"docker": 0.9}}
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), ratios=ratios).write(tmp_path)
    page, report, markdown = render(folder)
    assert report["claims"][1]["questioned"] is True
    band = report["scenarios"][0]["arms"][1]["bands"][0]
    assert (band["applies"], band["questioned"]) == (True, True)
    for text in (page.text, markdown):
        assert "290.9 GFLOPS" in text
        assert "uestioned: published 0.97 to 1.03×" in text
    assert "questioned" in str(summary.verdicts(report))


def test_the_terminal_has_a_line_for_each_verdict(metal: Path) -> None:
    rows = summary.verdicts(build_report(load_bundle(metal)))
    assert [row[0] for row in rows] == ["CONFIRMED", "MIXED", "NOT RUN"]
    assert rows[0][1] == "4 of 13"
    assert "footprint, ten-apps" in rows[2][2]


def test_what_bare_has_no_figure_in_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = Synthetic(scenarios=("cpu", "startup"), blocks=3).write(tmp_path)
    records = [
        record | ({"metric": "host_memory", "unit": "MiB"} if record["scenario"] == "cpu" else {})
        for record in read_lines(folder / "samples.jsonl")
        if record["scenario"] != "cpu" or record["arm"] != "bare"
    ]
    write_lines(folder / "samples.jsonl", records)
    page, report, markdown = render(folder)
    _header, ratios = summary.headline(report)
    assert [row[0] for row in ratios] == ["startup (lower is better)"]
    header, ((name, *cells),) = summary.plain(report)
    assert name == "cpu: host memory (MiB)"
    medians = {entry["arm"]: entry["median"] for entry in report["scenarios"][0]["arms"]}
    assert dict(zip(header[1:], cells, strict=True)) == {
        arm: words.figure(median) for arm, median in medians.items()
    }
    for text in (page.text, markdown):
        assert words.figure(medians["docker"]) in text
    results = markdown.partition("## Results")[2].partition("\n## ")[0]
    ratios_of, _text, figures_of = results.partition("Figures that bare has none of")
    assert "| Start-up, lower is better | " in ratios_of
    assert "Processor" not in ratios_of
    assert f"| Processor, MiB, higher is better | {words.figure(medians['docker'])} |" in figures_of
    assert "Start-up" not in figures_of


@pytest.mark.parametrize(
    ("median", "least", "most", "unit", "said"),
    [
        (1.0, 1.0, 1.0, "yes/no", "yes"),
        (0.0, 0.0, 0.0, "yes/no", "no"),
        # The median of four times yes and once no is yes.
        (1.0, 0.0, 1.0, "yes/no", "yes and no"),
        (1.0, 1.0, 1.0, "s", "1.000"),
        (None, None, None, "yes/no", words.NO_VALUE),
    ],
)
def test_an_answer_is_one_word_where_all_blocks_gave_the_same(
    median: float | None, least: float | None, most: float | None, unit: str, said: str
) -> None:
    assert words.median({"median": median, "min": least, "max": most}, unit) == said
    assert words.median(None, unit) == words.NO_VALUE


def test_what_measures_several_things_is_headed_by_each() -> None:
    assert words.topic("startup", "time_to_first_reply") == "Start-up"
    assert words.topic("ten-apps", "host_memory") == "Ten applications: host memory"
    assert words.label("startup", "time_to_first_reply") == "startup"
    assert words.label("disk", "random_read_rate") == "disk: random read rate"


def test_page_is_well_formed_with_all_its_claims(tmp_path: Path) -> None:
    folder = Synthetic(refused={"kvm": EVIL}, blocks=3).write(tmp_path)
    page, _report, _markdown = render(folder)
    ids = [attributes["id"] for _tag, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert isinstance(page, Page)


def test_bare_that_is_not_itself_refuses_through_the_real_gates(tmp_path: Path) -> None:
    """The A/A gate from the bundle to the verdict, with nothing in between replaced."""
    arms = ("bare", "bare-again", "docker")
    quiet: dict[str, dict[str, float]] = {"cpu": {"docker": 1.0}}
    off: dict[str, dict[str, float]] = {"cpu": {"docker": 1.0, "bare-again": 1.04}}
    verdicts = {}
    for name, ratios in (("quiet", quiet), ("off", off)):
        folder = Synthetic(
            arms=arms, scenarios=("cpu",), ratios=ratios, blocks=15, noise=0.01
        ).write(tmp_path / name)
        report = build_report(load_bundle(folder))
        test = report["claims"][1]["tests"][0]
        verdicts[name] = (test["outcome"], test["cause"])
        assert all(arm["arm"] != "bare-again" for arm in report["arms"])
    assert verdicts == {"quiet": ("holds", None), "off": ("refused", "noise")}
