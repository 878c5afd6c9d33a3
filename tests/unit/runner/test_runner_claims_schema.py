# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Files of claims: what is wrong is named with file, claim, field and remedy."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from synthetic import METRICS, Synthetic

from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.core.errors import BundleError, UsageError
from vcompare_runner.verdict import bands, schema
from vcompare_runner.verdict.declared import SHIPPED, catalogue_of, check_files, digest, shipped

TEST: dict[str, t.Any] = {
    "name": "slower",
    "scenario": "cpu",
    "metric": "events_per_second",
    "arms": ["kvm"],
    "against": "docker",
    "comparison": "ratio",
    "direction": "below",
    "margin": 0.95,
    "why": "5% is where planning notices it",
    "hardware_speed": False,
}
CLAIM: dict[str, t.Any] = {"id": "ours", "title": "Ours", "need": "know", "tests": [TEST]}


def write(path: Path, *claims: dict[str, t.Any]) -> Path:
    path.write_text(yaml.safe_dump({"schema": 1, "claims": list(claims)}))
    return path


def changed(**fields: t.Any) -> dict[str, t.Any]:
    """A claim whose test has other fields; ``None`` takes one out."""
    claim = copy.deepcopy(CLAIM)
    test = claim["tests"][0]
    test.update(fields)
    for name in [name for name, value in fields.items() if value is None]:
        del test[name]
    return claim


def test_the_article_is_whole() -> None:
    claims = shipped().claims
    assert [claim.id for claim in claims] == [
        "startup", "near-native", "footprint", "ten-apps", "density", "churn", "isolation",
        "containment", "os-variety", "two-kernels", "snapshots", "image-history", "image-build",
        "consistency", "delivery", "pool", "docker-in-vm",
    ]  # fmt: skip
    for claim in claims:
        assert any(test.needed for test in claim.tests), claim.id
        spoken_of = {arm for test in claim.tests for arm in (*test.arms, test.against)}
        assert claim.favours
        assert set(claim.favours) <= spoken_of
    schema.check_words(claims, claims, "claims.yml")


def test_what_is_measured_today_is_what_the_catalogue_asks_for() -> None:
    asked = {(test.scenario, test.metric) for claim in shipped().claims for test in claim.tests}
    assert {(scenario, METRICS[scenario][0]) for scenario in METRICS} <= asked


def test_the_collection_and_the_package_have_one_catalogue() -> None:
    root = Path(__file__).resolve().parents[3]
    assert SHIPPED.resolve() == root / "roles" / "measure" / "files" / "claims.yml"


@pytest.mark.parametrize(
    ("claim", "says", "remedy"),
    [
        ({"id": "ours"}, "claim 'ours': title: it is missing", "add title"),
        (changed(margin=None), "test 'slower': margin: a ratio needs one", "docs/claims.md"),
        (
            changed(margn=2),
            "test 'slower': margn: there is no such field",
            "did you mean 'margin'?",
        ),
        (changed(margin="two"), "test 'slower': margin: ", "docs/claims.md"),
        (changed(margin=1.0), "margin: 1 is not a factor", ""),
        (changed(margin=float("nan")), "margin: ", ""),
        (changed(margin=-2.0), "margin: -2 is not a factor", ""),
        (changed(comparison="ratios"), "comparison: ", "choose from 'ratio'"),
        (changed(direction=None), "direction: a ratio needs above or below", ""),
        (changed(direction="always"), "direction: a ratio needs above or below", ""),
        (changed(comparison="equivalence"), "direction: an equivalence has none", ""),
        (
            changed(comparison="equivalence", direction=None),
            "name the upper end (1.05)",
            "",
        ),
        (changed(comparison="difference"), "unit: a difference needs the unit", ""),
        (changed(comparison="difference", margin=0), "margin: 0 is not a margin", ""),
        (changed(comparison="yes_no", direction="always"), "margin: a yes_no has none", ""),
        (
            changed(comparison="yes_no", direction="always", margin=None),
            "against: a yes_no asks of one arm",
            "",
        ),
        (changed(against=None), "against: a ratio needs the arm", ""),
        (changed(against="kvm"), "arms: kvm can't be compared with itself", ""),
        (changed(arms=["kvm", "kvm"]), "arms: kvm is named twice", ""),
        (changed(arms=[]), "test 'slower': arms: ", ""),
        (changed(why=None), "test 'slower': why: it is missing", "add why"),
        (changed(hardware_speed="yes"), "hardware_speed: ", ""),
        ({**CLAIM, "id": "Ours!"}, "id: ", "small letters"),
        ({**CLAIM, "tests": [TEST, TEST]}, "two tests are named slower", ""),
        ({**CLAIM, "tests": "none"}, "claim 'ours': tests: ", ""),
        ({**CLAIM, "id": "startup"}, "claims.yml has a claim of that id already", "another id"),
        (changed(scenario="cpuu"), "test 'slower': scenario: 'cpuu' is unknown", "'cpu'"),
        (changed(metric="events"), "metric: 'events' is unknown", "events_per_second"),
        (changed(arms=["kmv"]), "arms: 'kmv' is unknown", "did you mean 'kvm'?"),
        (changed(against="dokcer"), "against: 'dokcer' is unknown", "did you mean 'docker'?"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, claim: dict[str, t.Any], says: str, remedy: str
) -> None:
    path = write(tmp_path / "ours.yml", claim)
    with pytest.raises(UsageError) as caught:
        check_files([path])
    assert str(path) in caught.value.message
    assert says in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("claims: [", "not YAML"),
        ("schema: 1\nschema: 1\n", "the key 'schema' is there twice"),
        ("[]", "valid dictionary"),
        ("schema: 2\nclaims: []\n", "schema: Input should be 1"),
        ("", "valid dictionary"),
        ("schema: 1\nclaims: []\n", "claims: "),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "ours.yml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        check_files([path])
    assert says in caught.value.message
    assert str(path) in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        check_files([tmp_path / "none.yml"])


def test_several_files_that_get_along(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yml", CLAIM)
    second = write(tmp_path / "b.yml", {**CLAIM, "id": "theirs"})
    assert [claim.id for claim in check_files([first, second])] == ["ours", "theirs"]
    with pytest.raises(UsageError, match=r"a\.yml has a claim of that id already"):
        check_files([first, write(tmp_path / "c.yml", CLAIM)])
    with pytest.raises(UsageError, match="named twice"):
        check_files([first, first])


def declared(*claims: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"sha256": digest(claims), "files": ["claims.yml", "ours.yml"], "claims": list(claims)}


def test_a_run_is_judged_by_what_it_declared(tmp_path: Path) -> None:
    folder = Synthetic(blocks=1, claims=declared(CLAIM)).write(tmp_path)
    catalogue = catalogue_of(load_bundle(folder).manifest)
    assert [claim.id for claim in catalogue.claims] == ["ours"]
    assert catalogue.files == ("claims.yml", "ours.yml")
    assert catalogue.notes == ()


def test_a_run_of_old_is_judged_by_ours_and_that_is_said(bundle_dir: Path) -> None:
    catalogue = catalogue_of(load_bundle(bundle_dir).manifest)
    assert catalogue.claims == shipped().claims
    (note,) = catalogue.notes
    assert note.code == "claims-not-declared"
    assert "declared no claims before it began" in note.text


def test_a_margin_that_was_moved_afterwards_is_found(tmp_path: Path) -> None:
    folder = Synthetic(blocks=1, claims=declared(CLAIM)).write(tmp_path)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["claims"]["claims"][0]["tests"][0]["margin"] = 0.5
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="claims are not those that were declared"):
        catalogue_of(load_bundle(folder).manifest)


def test_claims_of_a_manifest_that_nobody_can_read(tmp_path: Path) -> None:
    folder = Synthetic(blocks=1, claims=declared(changed(margn=2))).write(tmp_path)
    with pytest.raises(BundleError, match="margn"):
        catalogue_of(load_bundle(folder).manifest)


def test_bands_are_of_what_is_asked_for() -> None:
    known = {(test.scenario, test.metric) for claim in shipped().claims for test in claim.tests}
    for band in bands.read_bands():
        assert (band.scenario, band.metric) in known
        assert band.low < band.high
        assert (band.kind == "level") == (band.against is None)
        assert (band.unit is None) == (band.kind == "ratio")


@pytest.mark.parametrize(
    ("value", "substrates", "unit", "applies", "questioned"),
    [
        (1.0, ["nested-tcg", "nested-tcg"], None, True, False),
        (1.04, ["nested-tcg", "nested-tcg"], None, True, True),
        (0.96, ["metal"], None, True, True),
        (None, ["metal"], None, True, False),
        (1.2, ["metal"], "s", False, False),
    ],
)
def test_a_band_for_any_substrate(
    value: float | None, substrates: list[str], unit: str | None, applies: bool, questioned: bool
) -> None:
    band = bands.find("cpu", "events_per_second", "minimal", "docker", "bare", "ratio")
    assert band is not None
    held = bands.hold(band, value, unit, substrates)
    assert (held.applies, held.questioned) == (applies, questioned)


@pytest.mark.parametrize(
    ("substrate", "questioned"),
    [
        ("metal", True),
        ("vm", False),
        ("nested-kvm", False),
        ("nested-tcg", False),
        ("unknown", False),
    ],
)
def test_a_band_for_real_hardware_only(substrate: str, questioned: bool) -> None:
    band = bands.find("cpu", "events_per_second", "minimal", "kvm", "bare", "ratio")
    assert band is not None
    assert bands.hold(band, 0.5, None, [substrate]).questioned == questioned
