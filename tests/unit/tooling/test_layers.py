# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders are layers: imports go down only, and nothing private is taken from another folder."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import ansible_collections.vcompare.lab as collection

ROOT = Path(next(iter(collection.__path__)))
_SPEC = importlib.util.spec_from_file_location("house", ROOT / "tools/house.py")
assert _SPEC and _SPEC.loader
house = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(house)

# From the ground up; folders of the same height know nothing of each other (docs/contracts.md).
LAYERS = (
    ("_contract",),
    ("_core",),
    ("_host",),
    ("_arms", "_engines", "_images"),
    ("_lab", "_scenarios"),
    ("_block", "_release"),
)
# Of vcompare_runner, whose contract is the collection's.
RUNNER_LAYERS = (
    ("core",),
    ("bundle",),
    ("analysis",),
    ("verdict",),
    ("report", "run"),
    ("calibrate",),
    ("cli",),
)
RUNNER_HEIGHT = {name: height for height, names in enumerate(RUNNER_LAYERS) for name in names}
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
UTILS = "plugins.module_utils."


def _folder(module: str) -> str:
    return module.removeprefix(UTILS).partition(".")[0]


def test_every_folder_has_its_place() -> None:
    folders = {path.name for path in (ROOT / "plugins/module_utils").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(HEIGHT)
    assert list((ROOT / "plugins/module_utils").glob("*.py")) == []


def test_imports_go_down_only() -> None:
    up = [
        f"{mine} imports {other}"
        for mine, others in house.imports().items()
        for other in others
        if mine.startswith(UTILS)
        and (
            not other.startswith(UTILS)
            or (_folder(mine) != _folder(other) and HEIGHT[_folder(other)] >= HEIGHT[_folder(mine)])
        )
    ]
    assert up == []


def test_imports_of_the_runner_go_down_only() -> None:
    def folder(module: str) -> str:
        return module.split(".")[1]

    arrows = [
        (mine, other)
        for mine, others in house.imports().items()
        for other in others
        if min(mine.count("."), other.count(".")) and mine.startswith("vcompare_runner.")
    ]
    assert len(arrows) > 100
    assert {folder(mine) for mine, _other in arrows} <= {*RUNNER_HEIGHT, "__main__"}
    up = [
        f"{mine} imports {other}"
        for mine, other in arrows
        if folder(mine) in RUNNER_HEIGHT
        and folder(mine) != folder(other)
        and RUNNER_HEIGHT[folder(other)] >= RUNNER_HEIGHT[folder(mine)]
    ]
    assert up == []


def test_the_arms_and_the_contract_have_arrows_between_them() -> None:
    """A graph that is not read has no wrong arrows either."""
    arrows = {(mine, other) for mine, others in house.imports().items() for other in others}
    assert (f"{UTILS}_arms.registry", f"{UTILS}_contract.arms") in arrows
    # Inside of a function.
    assert (f"{UTILS}_arms.registry", f"{UTILS}_arms.docker") in arrows
    # Relative.
    assert (f"{UTILS}_contract.turns", f"{UTILS}_contract.arms") in arrows


def test_nothing_private_is_taken_from_another_folder() -> None:
    taken = [
        f"{name}: {node.module}.{alias.name}"
        for name in house.files("plugins/*.py")
        for node in ast.walk(ast.parse(house.text(name)))
        if isinstance(node, ast.ImportFrom) and "module_utils." in (node.module or "")
        for alias in node.names
        if alias.name.startswith("_")
        and not alias.name.startswith("__")
        and _folder((node.module or "").partition(".lab.")[2]) != _folder(house._module(name))
    ]
    assert taken == []
