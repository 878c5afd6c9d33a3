# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pages for developers name is there."""

from __future__ import annotations

import re
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest

ROOT = Path(next(iter(collection.__path__)))
TOPS = {path.name for path in ROOT.iterdir()}
_PATH = re.compile(r"`([\w./-]+/[\w./-]*)`")
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def paths(page: Path) -> list[str]:
    """What stands in backticks and begins with a folder of the project."""
    return [
        word for word in _PATH.findall(page.read_text("utf-8")) if word.partition("/")[0] in TOPS
    ]


@pytest.mark.parametrize("page", ["architecture", "contracts", "extending"])
def test_every_path_of_a_page_is_there(page: str) -> None:
    named = paths(ROOT / f"docs/{page}.md")
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    links = _LINK.findall((ROOT / "docs" / page).read_text("utf-8"))
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_first_page_names_what_is_there() -> None:
    readme = ROOT / "README.md"
    assert [name for name in paths(readme) if not (ROOT / name).exists()] == []
    links = _LINK.findall(readme.read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
