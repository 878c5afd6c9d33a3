# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The command line: bad input, dry runs, whole comparisons on a tiny checkout, failures, history."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from checkout import Checkout
from synthetic import Synthetic, read_lines, write_lines
from test_runner_claims_schema import CLAIM, changed
from test_runner_claims_schema import write as write_claims

from vcompare_runner._contract import ids
from vcompare_runner.cli import app as cli
from vcompare_runner.cli import commands
from vcompare_runner.core.errors import UsageError
from vcompare_runner.run import home as homes
from vcompare_runner.run import plan, project


@pytest.fixture
def vcompare(
    checkout: Checkout,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> t.Callable[..., tuple[int, str, str]]:
    """Run the command line in this process, with the tiny checkout as the collection."""
    monkeypatch.setattr(commands, "find_project", lambda: project.Project(checkout.root))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(caught.value.code or 0), said.out, said.err

    return run


Vcompare = t.Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("compare",),
        ("report",),
        ("runs",),
        ("lab",),
        ("lab", "up"),
        ("lab", "down"),
        ("lab", "status"),
    ],
)
def test_help_has_examples(vcompare: Vcompare, arguments: tuple[str, ...]) -> None:
    code, out, _err = vcompare(*arguments, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"  vcompare {' '.join(arguments)}".rstrip() in out


@pytest.mark.parametrize("arguments", [(), ("compare",)])
def test_help_documents_exit_codes(vcompare: Vcompare, arguments: tuple[str, ...]) -> None:
    _code, out, _err = vcompare(*arguments, "--help")
    assert re.search(r"^ +3 +finished, but an arm was refused or failed", out, flags=re.MULTILINE)
    assert re.search(r"^ +130 +interrupted", out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "--arms", "bare,dokcer"), ("--arms", "'dokcer'", "did you mean 'docker'?")),
        (("compare", "--arms", "docker"), ("--arms", "bare,docker")),
        (("compare", "--arms", "bare,kvm"), ("--arms", "carries kvm", "kvm_hosts")),
        (("compare", "--scenarios", "cpu,forck"), ("--scenarios", "'forck'", "startup, cpu")),
        (("compare", "--profile", "quik"), ("--profile", "did you mean 'quick'?", "smoke")),
        (("compare", "--lab", "My Lab"), ("--lab", "small letter")),
        (("compare", "--lab", "a" * 21), ("--lab",)),
        (("compare", "--accel", "kvmm"), ("--accel", "did you mean 'kvm'?")),
        (("compare", "--blocks", "0"), ("--blocks", "from 1 to")),
        (("compare", "--blocks", "many"), ("--blocks",)),
        (("compare", "--seed", "-4"), ("--seed", "from 0 to")),
        (("compare", "--claims", "/nowhere.yml"), ("--claims", "/nowhere.yml")),
        (("compare", "--systems", "/nowhere.yml"), ("--systems", "/nowhere.yml")),
        (("compare", "-i", "/nowhere/at/all"), ("--inventory", "/nowhere/at/all", "-i")),
        (
            ("compare", "--resume", "20200101-000000-abcdef"),
            ("20200101-000000-abcdef", "vcompare runs"),
        ),
        (("report", "nothing-like-it"), ("nothing-like-it", "vcompare runs")),
        (("report", "./nothing"), ("./nothing",)),
        (("lab", "up", "--lab", "UP"), ("--lab",)),
        (("lab", "down", "--lab", "../x"), ("--lab",)),
        (("lab", "up", "--accel", "vmx"), ("--accel", "auto")),
        (("lab", "up", "--nodes", "5"), ("--nodes", "lab-xen-2")),
        (("compare", "--nodes", "0"), ("--nodes", "take 1")),
        (("compare", "--allow", "rebot"), ("--allow", "did you mean 'reboot'?")),
        (("compare", "--frobnicate"), ("--frobnicate", "--help")),
        (("comparr",), ("comparr", "compare")),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    vcompare: Vcompare, home: Path, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    code, _out, err = vcompare(*arguments)
    assert code == 2
    for text in says:
        assert text in err
    assert "remedy:" in err
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("hosts.ini", "[bare_hosts\nlocalhost\n", "can't be read"),
        ("hosts.yml", "all: {hosts: [", "can't be read"),
        ("hosts.ini", "[others]\nlocalhost\n", "no host"),
        ("hosts.ini", "[docker_hosts]\nlocalhost\n", "carries bare"),
    ],
)
def test_broken_inventories(
    vcompare: Vcompare, home: Path, tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    code, _out, err = vcompare("compare", "-i", str(tmp_path / name))
    assert code == 2
    assert says in err
    assert "remedy:" in err
    assert not home.exists()


def test_home_that_is_no_folder(vcompare: Vcompare, home: Path) -> None:
    home.write_text("a file")
    code, _out, err = vcompare("compare")
    assert code == 2
    assert "VCOMPARE_HOME" in err


def test_unwritable_home(home: Path) -> None:
    """For root, too: without the capabilities that let it write everywhere."""
    home.mkdir()
    home.chmod(0o500)
    without = (
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    )
    done = subprocess.run(
        [*without, sys.executable, "-m", "vcompare_runner", "compare"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"no permission in {home}" in done.stderr
    assert "VCOMPARE_HOME" in done.stderr
    assert not list(home.iterdir())


def test_no_permission_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    with pytest.raises(UsageError, match="no permission"):
        homes.check_home(tmp_path / "home")


def test_where_home_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCOMPARE_HOME", "/srv/vc")
    assert homes.find_home() == Path("/srv/vc")
    monkeypatch.delenv("VCOMPARE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert homes.find_home() == Path("/data/vcompare")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert homes.find_home() == Path("/home/someone/.local/share/vcompare")


def test_run_ids() -> None:
    first, second = ids.new_run_id(), ids.new_run_id()
    assert ids.RUN_ID.fullmatch(first)
    assert first != second


def test_dry_run_with_a_budget_says_when_it_ends(vcompare: Vcompare, home: Path) -> None:
    code, out, _err = vcompare("compare", "--dry-run", "--budget", "1h30m", "--blocks", "6")
    assert code == 0
    assert re.search(r"^blocks: +at least 6 on each", out, flags=re.MULTILINE)
    assert "every open claim's interval is narrow enough, or after 1 h 30 min of measuring" in out


def test_dry_run_of_a_profile_with_a_time_says_so(vcompare: Vcompare, home: Path) -> None:
    code, out, _err = vcompare("compare", "--dry-run", "--profile", "timed")
    assert code == 0
    assert "or before the command has taken 20 min" in out
    code, out, _err = vcompare("compare", "--dry-run", "--profile", "timed", "--blocks", "5")
    assert code == 0
    assert "before the command" not in out


@pytest.mark.parametrize("budget", ["soon", "", "0m", "1.5h", "20", "-5m", "5m2h"])
def test_a_budget_that_is_no_time(vcompare: Vcompare, home: Path, budget: str) -> None:
    code, _out, err = vcompare("compare", "--dry-run", "--budget", budget)
    assert code == 2
    assert "--budget" in err
    assert "1h30m" in err
    assert not home.exists()


def test_bare_again_may_be_named_and_is_no_choice(vcompare: Vcompare, home: Path) -> None:
    code, out, _err = vcompare("compare", "--dry-run", "--arms", "bare,bare-again,docker")
    assert code == 0
    assert not re.search(r"^bare-again", out, flags=re.MULTILINE)
    code, _out, err = vcompare("compare", "--dry-run", "--arms", "bare,podman")
    assert code == 2
    assert "bare-again" not in err


def test_dry_run_says_all_and_makes_nothing(vcompare: Vcompare, home: Path) -> None:
    code, out, _err = vcompare(
        "compare", "--dry-run", "--seed", "7", "--arms", "bare,docker,xen-pv"
    )
    assert code == 0
    for text in (
        "docker",
        "lab-linux",
        "xen-pv",
        "lab-xen",
        "startup, cpu",
        "5.0 GiB memory",
        "16 GiB disk",
    ):
        assert text in out
    assert re.search(r"^seed: +7$", out, flags=re.MULTILINE)
    assert re.search(
        r"^blocks: +5 on each of 2 hosts: 20 fresh instances, bare twice in each block$",
        out,
        flags=re.MULTILINE,
    )
    assert "xen-pvh" not in out
    assert not home.exists()


def test_claims_are_checked_before_anything_is_made(
    vcompare: Vcompare, home: Path, tmp_path: Path
) -> None:
    path = write_claims(tmp_path / "ours.yml", changed(margn=2))
    code, _out, err = vcompare("compare", "--claims", str(path), "--dry-run")
    assert code == 2
    assert f"--claims: {path}: claim 'ours': test 'slower': margn" in err
    assert "did you mean 'margin'?" in err
    assert not home.exists()
    write_claims(path, CLAIM)
    code, out, _err = vcompare("compare", "--claims", str(path), "--dry-run")
    assert code == 0
    assert f"those of every run, {path}" in out
    assert not home.exists()


def test_extra_vars_follow_the_contract(tmp_path: Path) -> None:
    request = plan.new_request(
        "RUN", "default", "quick", 3, ["bare,kvm", "xen-pv"], ["cpu"], 4, "tcg", None
    )
    assert request.extra_vars(tmp_path, keep_running=True) == {
        "vcompare_home": str(tmp_path),
        "vcompare_lab": "default",
        "vcompare_run": "RUN",
        "vcompare_profile": "quick",
        "vcompare_arms": ["bare", "kvm", "xen-pv"],
        "vcompare_scenarios": ["cpu"],
        "vcompare_blocks": 4,
        "vcompare_seed": 3,
        "vcompare_accel": "tcg",
        "vcompare_keep_running": True,
    }
    bare = plan.new_request("RUN", "default", "quick", None, None, None, None, None, None)
    assert set(bare.extra_vars(tmp_path, keep_running=False)) == {
        "vcompare_home",
        "vcompare_lab",
        "vcompare_run",
        "vcompare_profile",
        "vcompare_seed",
    }


def source(tmp_path: Path, **changes: t.Any) -> Path:
    return Synthetic(
        arms=("bare", "docker", "xen-pv"), scenarios=("startup", "cpu"), blocks=2, **changes
    ).write(tmp_path / "source")


def test_a_whole_comparison_with_a_refused_arm(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    bundle = source(tmp_path, refused={"xen-pv": "no hypervisor below"})
    environment = {"TEST_SOURCE": str(bundle), "SOME_SECRET": "s3cr3t-canary"}
    made = checkout.run(home, "compare", "--profile", "smoke", "--blocks", "2", **environment)
    assert made.returncode == 3, made.stderr
    (folder,) = (home / "runs").iterdir()
    assert f"report: {folder / 'report' / 'index.html'}" in made.stdout
    assert (folder / "report" / "index.html").exists()
    row = r"^startup \(lower is better\) +[\d.]+× +refused$"
    assert re.search(row, made.stdout, flags=re.MULTILINE)
    assert "xen-pv on lab-xen: refused: no hypervisor below" in made.stdout
    assert "no interval: 2 paired blocks" in made.stdout
    assert "emulated hardware" in made.stdout
    assert "lab-linux: block 2 of 2 done (bare, docker ok); 2 of 4 blocks" in made.stderr
    assert "\x1b" not in made.stdout + made.stderr
    assert stat.S_IMODE((folder / "events").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "events" / "compare-001.log").stat().st_mode) == 0o600
    # Nothing of the environment is kept: ansible-runner would write all of it.
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    assert not any(b"s3cr3t-canary" in path.read_bytes() for path in kept)


def test_failure_part_way_keeps_finished_blocks_and_resume_goes_on(
    checkout: Checkout, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    bundle = str(source(tmp_path))
    made = checkout.run(
        home, "compare", "--profile", "smoke", "--blocks", "2", "--seed", "11",
        TEST_SOURCE=bundle, TEST_FAIL_AT="2",
    )  # fmt: skip
    assert made.returncode == 1
    (folder,) = (home / "runs").iterdir()
    for text in (
        "the node went away in block 2",
        "remedy: look at its console",
        "| kernel panic",
        str(folder / "events" / "compare-001.log"),
        f"vcompare compare --resume {folder.name}",
    ):
        assert text in made.stderr
    assert "Traceback" not in made.stderr
    assert (folder / "report" / "index.html").exists()
    before = json.loads((folder / "report" / "report.json").read_text())
    assert before["run"]["blocks_finished"] == 1
    assert before["run"]["complete"] is False

    again = checkout.run(home, "compare", "--resume", folder.name, TEST_SOURCE=bundle)
    assert again.returncode == 0, again.stderr
    assert "lab-linux: block 1 of 2 was measured before" in again.stderr
    after = json.loads((folder / "report" / "report.json").read_text())
    assert after["run"]["blocks_finished"] == 2
    assert json.loads((folder / "events" / "request.json").read_text())["seed"] == 11
    assert len(list((home / "runs").iterdir())) == 1

    finished = checkout.run(home, "compare", "--resume", folder.name)
    assert finished.returncode == 2
    assert "is finished" in finished.stderr


@pytest.mark.parametrize(
    ("stopped", "within_s", "code"), [("budget", 1200, 0), ("budget", None, 2), ("blocks", 1200, 2)]
)
def test_a_run_that_its_profiles_time_ended_can_go_on(
    vcompare: Vcompare, home: Path, stopped: str, within_s: int | None, code: int
) -> None:
    folder = Synthetic().write(home / "runs")
    manifest = json.loads((folder / "manifest.json").read_text())
    arms = [plan for plan in manifest["arms"] if plan["arm"] in ("bare", "docker")]
    manifest |= {"stopped": stopped, "arms": arms}
    manifest["profile"] |= {"within_s": within_s, "max_blocks": 9, "scenarios": ["cpu"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    ended, out, err = vcompare("compare", "--resume", folder.name, "--dry-run")
    assert ended == code, err
    if code == 0:
        assert f"would go on with run {folder.name} (7 blocks are done)" in out
    else:
        assert "is finished" in err


def test_resume_of_a_run_that_another_controller_began(home: Path) -> None:
    folder = Synthetic(finished=False).write(home / "runs")
    request = plan.load_request(folder)
    assert request.run == folder.name
    assert request.blocks == 7
    assert request.seed == 20261124
    assert request.arms[0] == "bare"


def test_failed_playbook_shows_only_what_ended_it(checkout: Checkout, tmp_path: Path) -> None:
    made = checkout.run(tmp_path / "home", "lab", "down")
    assert made.returncode == 1
    end = made.stderr[made.stderr.index("vcompare: error:") :]
    assert "the node lab-xen did not stop within 60 s" in end
    assert "remedy: run it again with --lab default" in end
    assert "System halted" in end
    assert "this one does not matter" not in end
    assert "hunter2" not in made.stderr
    assert "hunter2" not in "".join(p.read_text() for p in (tmp_path / "home" / "logs").iterdir())


def test_lab_status(checkout: Checkout, tmp_path: Path) -> None:
    shown = checkout.run(tmp_path / "home", "lab", "status", "--lab", "spare")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^name: +spare$", shown.stdout, flags=re.MULTILINE)
    assert "127.0.10.11" in shown.stdout
    as_json = checkout.run(tmp_path / "home", "lab", "status", "--json")
    status = json.loads(as_json.stdout)
    assert status["state"] == "running"
    assert status["nodes"][0]["port"] == 2222


def test_runs(vcompare: Vcompare, home: Path) -> None:
    code, out, _err = vcompare("runs")
    assert code == 0
    assert "no runs" in out
    folder = Synthetic(finished=False).write(home / "runs")
    write_lines(
        folder / "blocks.jsonl", [r for r in read_lines(folder / "blocks.jsonl") if r["block"] <= 3]
    )
    (home / "runs" / "20261125-000000-000000").mkdir()
    broken = home / "runs" / "20261126-000000-000000"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    code, out, _err = vcompare("runs")
    assert code == 0
    assert re.search(
        r"20261124-101500-ab12cd .* quick .*nested-tcg .*3/7 .*bare, docker.* unfinished", out
    )
    assert re.search(r"20261125-000000-000000 .*not begun", out)
    assert re.search(r"20261126-000000-000000 .*broken", out)
    code, out, _err = vcompare("runs", "--json")
    assert [run["status"] for run in json.loads(out)] == ["unfinished", "not begun", "broken"]


def test_report_by_folder_by_id_and_by_its_beginning(
    vcompare: Vcompare, home: Path, tmp_path: Path
) -> None:
    folder = Synthetic().write(home / "runs")
    for name in (folder.name, "20261124", "latest", str(folder)):
        code, out, _err = vcompare("report", name, "--output", str(tmp_path / "out"))
        assert code == 0
        assert out == f"report: {tmp_path / 'out' / 'index.html'}\n"
    assert not (folder / "report").exists()


def test_report_of_a_broken_bundle(vcompare: Vcompare, tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    (folder / "samples.jsonl").write_text("nonsense\n")
    code, _out, err = vcompare("report", str(folder))
    assert code == 2
    assert "samples.jsonl, line 1" in err
    assert "remedy:" in err


def test_report_that_can_not_be_written(
    vcompare: Vcompare, bundle_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _out, err = vcompare("report", str(bundle_dir), "-o", str(tmp_path / "file"))
    assert code == 1
    assert "--output" in err


def test_internal_errors_are_short_and_debug_shows_them(
    vcompare: Vcompare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_as_json: bool) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(commands, "runs", broken)
    code, _out, err = vcompare("runs")
    assert code == 1
    assert "internal error: RuntimeError: a bug" in err
    assert "--debug" in err
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["--debug", "runs"])


def test_collection_is_found_beside_the_package_or_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "vcompare_runner"
    package.mkdir(parents=True)
    installed = tmp_path / "collections" / "ansible_collections" / "vcompare" / "lab"
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path / "collections"))
    with pytest.raises(UsageError, match="was not found") as caught:
        project.find_project(package)
    assert "ansible-galaxy collection install" in caught.value.remedy
    (installed / "playbooks").mkdir(parents=True)
    assert project.find_project(package).root == installed
    (tmp_path / "site-packages" / "playbooks").mkdir()
    assert project.find_project(package).root == tmp_path / "site-packages"
