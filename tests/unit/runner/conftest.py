# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the tests of vcompare_runner share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The package itself, and the helpers beside this file: pytest adds neither in every import mode.
for folder in (ROOT, Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from checkout import Checkout, make_checkout  # noqa: E402
from synthetic import Synthetic  # noqa: E402


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """A whole bundle on disk, with nothing wrong in it."""
    return Synthetic().write(tmp_path / "runs")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with tiny playbooks that run on localhost, with a copy of the package in it."""
    return make_checkout(tmp_path_factory.mktemp("checkout"), ROOT)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder that does not exist yet."""
    monkeypatch.setenv("VCOMPARE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    return tmp_path / "home"
