# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Claims on their way into the manifest: read, checked, declared, kept."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.vcompare.lab.plugins.action import bundle as bundle_action
from ansible_collections.vcompare.lab.plugins.lookup import claims as lookup
from ansible_collections.vcompare.lab.plugins.plugin_utils.claims import declare, digest

from vcompare_runner.bundle.read import read_manifest
from vcompare_runner.verdict import declared as runner

from .test_actions import OPEN, RUN, action

CLAIM: dict[str, t.Any] = {
    "id": "ours", "title": "Ours", "need": "know",
    "tests": [{
        "name": "slower", "scenario": "cpu", "metric": "events_per_second", "arms": ["kvm"],
        "against": "docker", "comparison": "ratio", "direction": "below", "margin": 0.95,
        "why": "5% is where planning notices it", "hardware_speed": False,
    }],
}  # fmt: skip


def query(*names: str, basedir: str = ".") -> list[dict[str, t.Any]]:
    from ansible.parsing.dataloader import DataLoader

    loader = DataLoader()
    loader.set_basedir(basedir)
    plugin = lookup.LookupModule(loader=loader)
    plugin._load_name = "vcompare.lab.claims"
    plugin.set_options = lambda **_kwargs: None
    return plugin.run(list(names), variables={"ansible_search_path": [basedir]})


def write(path: Path, claim: dict[str, t.Any]) -> str:
    path.write_text(yaml.safe_dump({"schema": 1, "claims": [claim]}))
    return str(path)


def opened(home: Path, catalogues: t.Any, run: str = RUN, check: bool = False) -> t.Any:
    arguments = {**OPEN, "home": str(home), "run": run, "seed": 5, "claims": catalogues}
    return action(bundle_action, arguments, check).run(task_vars={})


def test_the_collection_brings_its_claims_along() -> None:
    (shipped,) = query()
    assert shipped["file"] == "claims.yml"
    assert [claim["id"] for claim in shipped["claims"]][:2] == ["startup", "near-native"]


def test_a_file_is_found_by_its_path_and_beside_the_playbook(tmp_path: Path) -> None:
    path = write(tmp_path / "ours.yml", CLAIM)
    for name in (path, "ours.yml"):
        found = query(name, basedir=str(tmp_path))
        assert [each["file"] for each in found] == ["claims.yml", "ours.yml"]
        assert found[1]["claims"] == [CLAIM]


def test_what_is_wrong_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    wrong = copy.deepcopy(CLAIM)
    wrong["tests"][0]["margn"] = 0.95
    path = write(tmp_path / "ours.yml", wrong)
    with pytest.raises(AnsibleError, match=r"claim 'ours': test 'slower': margn.*did you mean"):
        query(path)
    with pytest.raises(AnsibleError, match=r"there is no file /nowhere\.yml"):
        query("/nowhere.yml")


def test_without_the_package_the_rest_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_module: str) -> t.NoReturn:
        raise ImportError("No module named 'pydantic'")

    monkeypatch.setattr(lookup.runner, "load", missing)
    assert query(write(tmp_path / "ours.yml", CLAIM))[1]["claims"] == [CLAIM]
    for text, says in (("a: [", "can't be read"), ("[]", "schema"), ("schema: 1", "no list")):
        path = tmp_path / "bad.yml"
        path.write_text(text)
        with pytest.raises(AnsibleError, match=says):
            query(str(path))


def test_the_manifest_has_what_was_declared(tmp_path: Path) -> None:
    catalogues = query(write(tmp_path / "ours.yml", CLAIM))
    opened(tmp_path, catalogues)
    manifest = read_manifest(tmp_path / "runs" / RUN)
    catalogue = runner.catalogue_of(manifest)
    assert catalogue.declared is True
    assert catalogue.files == ("claims.yml", "ours.yml")
    assert catalogue.claims[-1].id == "ours"
    # Both sides work out the same sha256, each with its own code.
    raw = json.loads((tmp_path / "runs" / RUN / "manifest.json").read_text())["claims"]
    assert raw["sha256"] == digest(raw["claims"]) == runner.digest(raw["claims"])
    assert raw["sha256"] == catalogue.sha256


def test_no_claims_leave_the_manifest_as_it_was(tmp_path: Path) -> None:
    opened(tmp_path, None)
    assert "claims" not in json.loads((tmp_path / "runs" / RUN / "manifest.json").read_text())


def test_a_run_keeps_the_claims_that_it_began_with(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.yml", CLAIM)
    opened(tmp_path, query(ours))
    before = (tmp_path / "runs" / RUN / "manifest.json").read_bytes()
    # The same again, without them, and with a newer collection: it goes on.
    newer = copy.deepcopy(query())
    newer[0]["claims"][0]["tests"][0]["margin"] = 3.0
    for catalogues in (query(ours), query(), newer, None):
        assert opened(tmp_path, catalogues)["resumed"] is True
    # Another margin now that there are results: it does not.
    moved = copy.deepcopy(CLAIM)
    moved["tests"][0]["margin"] = 0.5
    with pytest.raises(AnsibleActionFail, match=r"other claims than it began with \(ours\)"):
        opened(tmp_path, query(write(tmp_path / "ours.yml", moved)))
    assert (tmp_path / "runs" / RUN / "manifest.json").read_bytes() == before


def test_claims_can_not_be_added_to_a_run_that_declared_none(tmp_path: Path) -> None:
    opened(tmp_path, None)
    with pytest.raises(AnsibleActionFail, match="other claims"):
        opened(tmp_path, query(write(tmp_path / "ours.yml", CLAIM)))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("catalogues", "says"),
    [
        ([{"claims": [CLAIM]}], "each needs file and claims"),
        ([{"file": "a", "claims": [{}]}], "an id"),
        (
            [{"file": "a", "claims": [CLAIM]}, {"file": "b", "claims": [CLAIM]}],
            "the id ours already",
        ),
    ],
)
def test_catalogues_that_are_none(
    tmp_path: Path, catalogues: list[dict[str, t.Any]], says: str, check: bool
) -> None:
    with pytest.raises(AnsibleActionFail, match=says):
        opened(tmp_path, catalogues, check=check)
    assert list(tmp_path.iterdir()) == []


def test_declared_in_the_order_of_the_files() -> None:
    made = declare([{"file": "a", "claims": [CLAIM]}, {"file": "b", "claims": [{"id": "z"}]}])
    assert made["files"] == ["a", "b"]
    assert [claim["id"] for claim in made["claims"]] == ["ours", "z"]
