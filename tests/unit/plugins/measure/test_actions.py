# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part: order, resuming, and what is written when something goes wrong."""

from __future__ import annotations

import json
import sys
import types
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.vcompare.lab.plugins.action import bundle as bundle_action
from ansible_collections.vcompare.lab.plugins.action import measure as measure_action
from ansible_collections.vcompare.lab.plugins.action import report as report_action
from ansible_collections.vcompare.lab.plugins.module_utils._block.order import order_of
from ansible_collections.vcompare.lab.plugins.modules import measure as measure_module

from .test_bundle import RUN, measured

HOSTS = {
    "h1": {"arms": ["kvm", "docker"], "substrate": "metal", "planned": True, "facts": {"os": "x"}},
    "h2": {"arms": ["xen-pv"], "substrate": "metal", "planned": False, "reason": "down"},
}
OPEN = {
    "run": RUN,
    "profile": {"name": "smoke", "blocks": 1, "scenarios": ["cpu"]},
    "hosts": HOSTS,
    "lab": {"nested": False},
    "image": {"digest": "sha256:aa"},
    "instance": {"vcpus": 1, "memory_mib": 256},
}
DEFAULTS = {name: option.get("default") for name, option in measure_module.ARGUMENTS.items()}
IMAGE = {"rootfs": "/dev/null", "digest": "sha256:aa", "quick_digest": "sha256:bb"}


def action(kind: t.Any, args: dict[str, t.Any], check: bool = False) -> t.Any:
    """An action plugin as Ansible makes it, with a task that has these arguments."""
    task = types.SimpleNamespace(
        args=args, check_mode=check, async_val=0, diff=False, action="x", delegate_to=None
    )
    connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None))
    return kind.ActionModule(
        task=task, connection=connection, play_context=None, loader=None, templar=None,
        shared_loader_obj=None,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    opened = action(bundle_action, {**OPEN, "home": str(tmp_path), "seed": 5}).run(task_vars={})
    assert opened["changed"] is True
    assert opened["resumed"] is False
    assert opened["seed"] == 5
    assert opened["path"] == str(tmp_path / "runs" / RUN)
    return tmp_path


def measure_args(home: Path, block: int = 1) -> dict[str, t.Any]:
    return {
        "bundle": str(home / "runs" / RUN), "run": RUN, "seed": 5, "block": block, "blocks": 2,
        "arms": ["kvm", "docker", "bare"], "scenarios": ["cpu"], "image": IMAGE,
    }  # fmt: skip


class Module:
    """Stands for the module on the host; remembers what it was given."""

    def __init__(self, answer: t.Any) -> None:
        self.answer, self.calls = answer, []

    calls: list[dict[str, t.Any]]

    def __call__(self, module_name: str, module_args: dict[str, t.Any], task_vars: t.Any) -> t.Any:
        assert module_name == "vcompare.lab.measure"
        self.calls.append(module_args)
        answer = self.answer.pop(0) if isinstance(self.answer, list) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def run_measure(
    home: Path, module: Module, block: int = 1, check: bool = False, said: str = ""
) -> t.Any:
    plugin = action(measure_action, measure_args(home, block), check)
    plugin._execute_module = module
    plugin._on_host = lambda command: said
    return plugin.run(task_vars={"inventory_hostname": "h1"})


def test_the_short_result(home: Path) -> None:
    module = Module({"measured": measured(1), "changed": True})
    result = run_measure(home, module)
    assert result == {
        "block": 1, "blocks": 2, "host": "h1", "changed": True, "samples": 2, "skipped": False,
        "at_least": False,
        "arms": [{"arm": "kvm", "status": "ok", "reason": None}],
    }  # fmt: skip
    (sent,) = module.calls
    assert sent["arms"] == order_of(["bare", "docker", "kvm"], 5, "h1", 1)
    assert sent["host"] == "h1"
    assert sent["full_digest"] is True
    # What is sent is what the module takes.
    assert set(sent) <= set(measure_module.ARGUMENTS)


def test_only_the_first_block_reads_every_byte(home: Path) -> None:
    module = Module({"measured": measured(2), "changed": True})
    run_measure(home, module, block=2)
    assert module.calls[0]["full_digest"] is False


def test_a_finished_block_is_not_measured_again(home: Path) -> None:
    run_measure(home, Module({"measured": measured(1)}))
    module = Module(AssertionError("the host was contacted"))
    again = run_measure(home, module)
    assert again["skipped"] is True
    assert again["changed"] is False
    assert again["arms"] == [{"arm": "kvm", "status": "ok", "reason": None}]
    assert module.calls == []


def test_a_lost_connection_loses_nothing(home: Path) -> None:
    run_measure(home, Module({"measured": measured(1)}))
    with pytest.raises(AnsibleConnectionFailure):
        run_measure(home, Module(AnsibleConnectionFailure("gone")), block=2)
    run_measure(home, Module({"measured": measured(2)}), block=2)
    lines = (home / "runs" / RUN / "blocks.jsonl").read_text().splitlines()
    assert [json.loads(line)["block"] for line in lines] == [1, 2]


def test_an_arm_that_its_host_does_not_survive_is_left_out(home: Path) -> None:
    module = Module([AnsibleConnectionFailure("gone"), {"measured": measured(1)}])
    made = json.dumps({"op": "create", "kind": "docker", "id": f"vc-{RUN[-6:]}-1-docker-stock7"})
    run_measure(home, module, said=f"-1.0\n{made}\n")
    first, second = module.calls
    how = f"the host was reset, in the turn of docker (vc-{RUN[-6:]}-1-docker-stock7 was the last that was made there)"
    assert "lost" not in first
    assert second == {**first, "lost": {"docker": how}}
    assert measure_module.plan_of({**DEFAULTS, **second}).lost == {"docker": how}
    (event,) = (home / "runs" / RUN / "events" / "measure.jsonl").read_text().splitlines()
    assert json.loads(event)["reason"] == how


def test_a_failed_module_is_a_failed_task(home: Path) -> None:
    result = run_measure(home, Module({"failed": True, "msg": "another measurement is running"}))
    assert result["failed"] is True
    assert result["msg"] == "another measurement is running"
    assert not (home / "runs" / RUN / "blocks.jsonl").exists()
    (event,) = (home / "runs" / RUN / "events" / "measure.jsonl").read_text().splitlines()
    assert json.loads(event)["reason"] == "another measurement is running"


def test_evidence_that_was_changed_fails_the_task(home: Path) -> None:
    broken = measured(1)
    broken["raw"] = dict.fromkeys(broken["raw"], "other")
    with pytest.raises(AnsibleActionFail, match="changed on its way"):
        run_measure(home, Module({"measured": broken}))


def test_check_mode_writes_nothing(home: Path) -> None:
    before = sorted(path.name for path in (home / "runs" / RUN).rglob("*"))
    result = run_measure(home, Module({"changed": True, "would_measure": ["kvm"]}), check=True)
    assert result["would_measure"] == ["kvm"]
    assert sorted(path.name for path in (home / "runs" / RUN).rglob("*")) == before


@pytest.mark.parametrize("missing", ["bundle", "seed", "block", "arms"])
def test_a_missing_argument_is_named(home: Path, missing: str) -> None:
    arguments = measure_args(home)
    del arguments[missing]
    with pytest.raises(AnsibleActionFail, match=missing):
        action(measure_action, arguments).run(task_vars={"inventory_hostname": "h1"})


def test_arms_and_facts_of_an_opened_bundle(home: Path) -> None:
    manifest = json.loads((home / "runs" / RUN / "manifest.json").read_text())
    assert [
        (arm["arm"], arm["host"], arm["planned"], arm["reason"]) for arm in manifest["arms"]
    ] == [
        ("kvm", "h1", True, None),
        ("docker", "h1", True, None),
        ("xen-pv", "h2", False, "down"),
    ]
    assert set(manifest["versions"]) == {"vcompare", "ansible_core", "python", "controller"}
    assert manifest["versions"]["vcompare"][0].isdigit()
    assert [path.name for path in (home / "runs" / RUN / "facts").iterdir()] == ["h1.json"]


def test_closing(home: Path) -> None:
    close = {"home": str(home), "run": RUN, "state": "closed"}
    result = action(bundle_action, close).run(task_vars={})
    assert result["finished_at"] is None
    assert result["missing"] == ["block 1 of h1", "block 1 of h2"]
    with pytest.raises(AnsibleActionFail, match="no bundle"):
        action(bundle_action, {**close, "run": "other"}).run(task_vars={})


def test_another_profile_is_refused(home: Path) -> None:
    other = {**OPEN, "home": str(home), "profile": {"name": "quick", "blocks": 5}}
    with pytest.raises(AnsibleActionFail, match="profile's name was 'smoke' and shall be 'quick'"):
        action(bundle_action, other).run(task_vars={})


def test_a_run_without_a_name_gets_one(tmp_path: Path) -> None:
    arguments = {key: value for key, value in OPEN.items() if key != "run"}
    opened = action(bundle_action, {**arguments, "home": str(tmp_path)}).run(task_vars={})
    assert (tmp_path / "runs" / opened["run"] / "manifest.json").is_file()
    assert opened["seed"] >= 0


@pytest.mark.parametrize("run", ["../elsewhere", "", " ", "a/b"])
def test_a_run_can_not_be_a_folder_elsewhere(tmp_path: Path, run: str) -> None:
    arguments = {**OPEN, "home": str(tmp_path), "run": run, "state": "open"}
    if run == "":
        # No name: a new one.
        assert action(bundle_action, arguments).run(task_vars={})["run"]
        return
    with pytest.raises(AnsibleActionFail, match="name of a run"):
        action(bundle_action, arguments).run(task_vars={})


def test_opening_in_check_mode_makes_nothing(tmp_path: Path) -> None:
    opened = action(bundle_action, {**OPEN, "home": str(tmp_path)}, check=True).run(task_vars={})
    assert opened["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_report(home: Path) -> None:
    run_measure(home, Module({"measured": measured(1)}))
    bundle = home / "runs" / RUN
    result = action(report_action, {"bundle": str(bundle)}).run(task_vars={})
    assert result["path"] == str(bundle / "report" / "index.html")
    assert "kvm" in Path(result["path"]).read_text()


def test_report_without_the_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Python does where a package is not installed.
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    for name in [name for name in sys.modules if name.startswith("vcompare_runner")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(AnsibleActionFail, match=r"scipy.*pip install -r .*requirements\.txt"):
        action(report_action, {"bundle": str(home / "runs" / RUN)}).run(task_vars={})


def test_report_of_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="not a bundle"):
        action(report_action, {"bundle": str(tmp_path)}).run(task_vars={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ["kvm", "qemu"]}, "arms: there is no qemu; choose from"),
        ({"scenarios": ["disc"]}, "scenarios: there is no disc; choose from"),
        ({"block": 0}, "block: 0 is not above zero"),
        ({"seconds": -1}, "seconds: -1"),
        ({"timeout_factor": 0.0}, "timeout_factor"),
    ],
)
def test_the_module_refuses_what_makes_no_sense(change: dict[str, t.Any], message: str) -> None:
    params = {name: spec.get("default") for name, spec in measure_module.ARGUMENTS.items()}
    params.update(run=RUN, block=1, arms=["kvm"], scenarios=["cpu"], image=IMAGE)
    assert measure_module.plan_of(params).arms == ["kvm"]
    with pytest.raises(ValueError, match=message):
        measure_module.plan_of({**params, **change})
