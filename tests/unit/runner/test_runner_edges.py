# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Paths and files that can't be used end a command at once, with exit code 2 and a message that names them."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from broken import DEEP, KINDS, call
from synthetic import Synthetic

from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.core.edges import (
    expanded,
    is_plausible,
    replacing,
    require_file,
    require_whole,
)
from vcompare_runner.core.errors import UsageError, VcompareError
from vcompare_runner.run.home import summarise_run
from vcompare_runner.run.inventory import check_numbers
from vcompare_runner.run.project import Project

ROOT = Path(__file__).resolve().parents[3]
LONG = "a" * 300


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("compare", "--dry-run"), {"VCOMPARE_HOME": "~nosuchuser/x"}, "VCOMPARE_HOME"),
        (("runs",), {"VCOMPARE_HOME": f"/tmp/{LONG}"}, LONG),
        (("compare", "--profile", "smoke"), {"VCOMPARE_HOME": f"/tmp/{LONG}"}, LONG),
        (("report", "~nosuchuser/x"), {}, "~nosuchuser"),
        (("report", LONG), {}, LONG),
        (("compare", "--dry-run", "--claims", "/dev/zero"), {}, "/dev/zero"),
        (("compare", "--dry-run", "--claims", "FIFO"), {}, "fifo"),
        (("compare", "--dry-run", "--claims", f"/tmp/{LONG}.yml"), {}, LONG),
        (("lab", "rebuild", "--lock", "FIFO"), {}, "--lock"),
        (("lab", "rebuild", "--lock", "~nosuchuser/lab.lock"), {}, "--lock"),
        (("lab", "lock", "--output", "~nosuchuser/lab.lock"), {}, "--output"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    fifo = tmp_path / "fifo.yml"
    os.mkfifo(fifo)
    words = [str(fifo) if word == "FIFO" else word for word in arguments]
    done = call(*words, **{"VCOMPARE_HOME": str(tmp_path / "home"), **environment})
    assert done.code == 2, done
    assert named in done.err
    assert "remedy:" in done.err
    assert done.is_an_error_for_people


def test_claims_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yml"
    deep.write_text("[" * 50_000)
    done = call("compare", "--dry-run", "--claims", str(deep), VCOMPARE_HOME=str(tmp_path / "home"))
    assert done.code == 2, done
    assert "deep.yml" in done.err


def test_only_a_regular_file_of_a_sensible_size_is_read(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_text("x")
    assert require_file("--lock", good) == good
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(2**30)
    for path in (large, tmp_path, tmp_path / "missing", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(UsageError, match="--lock"):
            require_file("--lock", path)


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("--lock", Path("~/x")) == Path("/somewhere/x")


# Which parts of a bundle there are: every one of them, and one of each folder.
PARTS = ("manifest.json", "blocks.jsonl", "proofs.jsonl", "samples.jsonl", "facts/lab-linux.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_bundle_that_cannot_be_read_is_named(
    bundle_dir: Path, part: str, kind: str
) -> None:
    KINDS[kind](bundle_dir / part)
    done = call("report", str(bundle_dir))
    assert done.code == 2, done
    assert part in done.err
    assert "remedy:" in done.err
    assert not (bundle_dir / "report").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS[:2])
def test_a_list_of_runs_survives_a_part_that_cannot_be_read(
    bundle_dir: Path, part: str, kind: str
) -> None:
    KINDS[kind](bundle_dir / part)
    done = call("runs", "--json", VCOMPARE_HOME=str(bundle_dir.parent.parent))
    (run,) = json.loads(done.out)
    assert done.code == 0
    assert run["status"] == "broken" or run["blocks_done"] == 0, run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "--dry-run", "--claims"),
        ("compare", "--dry-run", "--systems"),
        ("lab", "rebuild", "--lock"),
    ],
    ids=lambda words: words[-1],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, arguments: tuple[str, ...], kind: str
) -> None:
    path = tmp_path / "file.yml"
    path.touch()
    KINDS[kind](path)
    done = call(*arguments, str(path), VCOMPARE_HOME=str(tmp_path / "home"))
    assert done.code == 2, done
    assert arguments[-1] in done.err
    assert "file.yml" in done.err
    assert "remedy:" in done.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_cannot_be_read_is_named(bundle_dir: Path, kind: str) -> None:
    manifest = json.loads((bundle_dir / "manifest.json").read_text())
    (bundle_dir / "manifest.json").write_text(json.dumps(manifest | {"finished_at": None}))
    request = bundle_dir / "events" / "request.json"
    request.parent.mkdir(exist_ok=True)
    request.touch()
    KINDS[kind](request)
    home = str(bundle_dir.parent.parent)
    done = call("compare", "--dry-run", "--resume", "latest", VCOMPARE_HOME=home)
    assert done.code == 2, done
    assert "--resume" in done.err
    assert "request.json" in done.err


@pytest.mark.parametrize(
    "change",
    [{"seed": "x"}, {"lab": "../x"}, {"arms": "bare"}, {"blocks": 10**400}, {"more": 1}],
    ids=str,
)
def test_a_request_of_wrong_types_is_refused(bundle_dir: Path, change: dict[str, t.Any]) -> None:
    manifest = json.loads((bundle_dir / "manifest.json").read_text())
    (bundle_dir / "manifest.json").write_text(json.dumps(manifest | {"finished_at": None}))
    request = {"run": bundle_dir.name, "lab": "default", "profile": "quick", "seed": 1} | change
    (bundle_dir / "events").mkdir(exist_ok=True)
    (bundle_dir / "events" / "request.json").write_text(json.dumps(request))
    home = str(bundle_dir.parent.parent)
    done = call("compare", "--dry-run", "--resume", "latest", VCOMPARE_HOME=home)
    assert done.code == 2, done
    assert "request.json" in done.err


# JSON texts, since not all of them are numbers to Python.
EXTREME = (
    "1" + "0" * 400,
    "-1" + "0" * 400,
    "1e308",
    "5e-324",
    "1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "-1",
    "-0.0",
)


def set_first_value(bundle: Path, value: str) -> None:
    path = bundle / "samples.jsonl"
    lines = path.read_text().splitlines()
    sample = json.loads(lines[1]) | {"value": "HERE"}
    lines[1] = json.dumps(sample).replace('"HERE"', value)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("value", EXTREME)
def test_a_sample_with_a_value_that_nothing_has_is_left_out(bundle_dir: Path, value: str) -> None:
    set_first_value(bundle_dir, value)
    samples = load_bundle(bundle_dir).samples
    assert not samples.used[1]
    assert "impossible value" in samples.why_not[1]
    done = call("report", str(bundle_dir))
    assert done.code == 0, done
    report = json.loads(
        (bundle_dir / "report" / "report.json").read_text(), parse_constant=pytest.fail
    )
    assert any(note["code"] == "impossible-value" for note in report["notes"])


@pytest.mark.parametrize("value", [*EXTREME[:8], '"5"', "true", "[]"])
@pytest.mark.parametrize("where", ["instance.vcpus", "profile.blocks", "seed"])
def test_a_number_of_a_manifest_that_nothing_has_is_named(
    bundle_dir: Path, where: str, value: str
) -> None:
    path = bundle_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    *above, last = where.split(".")
    inner = manifest
    for part in above:
        inner = inner[part]
    inner[last] = "HERE"
    path.write_text(json.dumps(manifest).replace('"HERE"', value))
    done = call("report", str(bundle_dir))
    # A number in quotes and a yes are numbers to pydantic.
    assert done.code == (0 if value in ('"5"', "true") else 2), done
    assert done.code == 0 or "manifest.json is broken" in done.err


def test_impossible_values_without_number_are_summed_up(tmp_path: Path) -> None:
    bundle = Synthetic().write(tmp_path)
    path = bundle / "samples.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps(line | {"value": -1.0 - n}) + "\n" for n, line in enumerate(lines))
    )
    notes = [note for note in load_bundle(bundle).notes if note.code == "impossible-value"]
    assert 1 < len(notes) < 30 < len(lines)
    assert f"{len(lines) - 20} more" in notes[-1].text or "more of such values" in notes[-1].text


CLAIM = """schema: 1
claims:
  - id: ours
    title: ours
    need: speed
    tests:
      - name: one
        scenario: cpu
        metric: events_per_second
        arms: [kvm]
        against: docker
        comparison: {comparison}
        {direction}
        margin: {margin}
        unit: 1/s
        why: because
        hardware_speed: true
"""


@pytest.mark.parametrize("comparison", ["ratio", "difference", "equivalence"])
@pytest.mark.parametrize(
    "margin",
    [
        "0",
        "-0.0",
        ".inf",
        "-.inf",
        ".nan",
        "1" + "0" * 400,
        "1.0e+308",
        "5.0e-324",
        "1e999",
        "true",
        "[1]",
        "~",
    ],
)
def test_a_margin_that_decides_nothing_is_refused(
    tmp_path: Path, comparison: str, margin: str
) -> None:
    path = tmp_path / "ours.yml"
    direction = "" if comparison == "equivalence" else "direction: above"
    path.write_text(CLAIM.format(comparison=comparison, margin=margin, direction=direction))
    done = call("compare", "--dry-run", "--claims", str(path), VCOMPARE_HOME=str(tmp_path / "home"))
    assert done.code == 2, done
    assert "ours.yml" in done.err
    assert "margin" in done.err
    assert "remedy:" in done.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--blocks", "0"),
        ("--blocks", "9" * 400),
        ("--blocks", "nan"),
        ("--seed", "-1"),
        ("--seed", "9" * 400),
        ("--seed", "9" * 5000),
        ("--budget", "9" * 400 + "h"),
        ("--budget", "9" * 5000 + "s"),
        ("--budget", "99999h"),
        ("--budget", "inf"),
        ("--budget", "-1h"),
        ("--nodes", "9" * 400),
    ],
)
def test_a_number_of_an_option_that_cannot_be_used_is_refused(
    tmp_path: Path, option: str, value: str
) -> None:
    done = call("compare", "--dry-run", option, value, VCOMPARE_HOME=str(tmp_path / "home"))
    assert done.code == 2, done
    assert option in done.err
    assert "remedy:" in done.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("option", ["--repeats", "--seed", "--on-disk"])
@pytest.mark.parametrize("value", ["-1", "9" * 400])
def test_a_number_of_a_calibration_that_cannot_be_used_is_refused(option: str, value: str) -> None:
    done = call("calibrate", option, value)
    assert done.code == 2, done
    assert option in done.err


@pytest.mark.parametrize("value", EXTREME[:8])
@pytest.mark.parametrize("name", ["vcompare_memory_mib", "nested_lab_memory_mib"])
def test_a_number_of_an_inventory_that_nothing_has_is_refused(name: str, value: str) -> None:
    project = Project(ROOT)
    for text in (value, f'[1, {{"a": {value}}}]'):
        variables = json.loads(f'{{"one": {{"others": {value}, "{name}": {text}}}}}')
        with pytest.raises(UsageError, match=f"hosts.yml: one: {name}") as error:
            check_numbers(Path("hosts.yml"), project, variables)
        assert len(error.value.message) < 200
    check_numbers(Path("hosts.yml"), project, {"one": {name: 5, "others": json.loads(value)}})


def test_a_number_of_an_inventory_ends_a_comparison_before_it_begins(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "all: {children: {bare_hosts: {hosts: {one: {vcompare_memory_mib: .inf}}}}}\n"
    )
    home = str(tmp_path / "home")
    done = call("compare", "--arms", "bare", "-i", str(inventory), VCOMPARE_HOME=home)
    assert done.code == 2, done
    assert "one: vcompare_memory_mib is inf" in done.err
    assert "remedy:" in done.err
    assert not (tmp_path / "home").exists()


def test_numbers_are_plausible_or_not() -> None:
    for value in (0, -0.0, 1, 1e18, -1e18, 1e-18, 2**53):
        assert is_plausible(value), value
    for value in (10**400, -(10**400), 1e308, 5e-324, float("nan"), float("inf"), float("-inf")):
        assert not is_plausible(value), value
    assert require_whole("--x", 5, 1, 5) == 5
    with pytest.raises(UsageError, match="a number of 401 digits"):
        require_whole("--x", 10**400, 1)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(RuntimeError), replacing(path, "remedy") as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "before"
    with replacing(path, "remedy") as file:
        file.write("after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    fifo, link, target = tmp_path / "fifo", tmp_path / "link", tmp_path / "target"
    os.mkfifo(fifo)
    link.symlink_to(target)
    for path in (fifo, link, tmp_path, tmp_path / "missing" / "file", tmp_path / LONG):
        with pytest.raises(VcompareError, match="can't be written"), replacing(path, "remedy"):
            pass
    target.touch()
    with replacing(link, "remedy") as file:
        file.write("through the link")
    assert link.is_symlink()
    assert target.read_text() == "through the link"


def test_a_summary_counts_no_line_that_is_none(bundle_dir: Path) -> None:
    before = summarise_run(bundle_dir).blocks_done
    with (bundle_dir / "blocks.jsonl").open("a") as file:
        file.write(DEEP + "\n[]\n\xff\n")
        for record in ({"host": []}, {"host": "lab-linux", "block": []}, {"host": {}, "block": {}}):
            file.write(json.dumps({"run": bundle_dir.name, **record}) + "\n")
    assert summarise_run(bundle_dir).blocks_done == before > 0
