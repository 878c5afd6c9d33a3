# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Escape sequences and HTML in texts of others are shown, never interpreted."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from synthetic import Synthetic

from vcompare_runner.cli import app as cli
from vcompare_runner.core.escape import visible
from vcompare_runner.report import write_report
from vcompare_runner.run import terminal
from vcompare_runner.run.events import MeasuredBlock, RunState
from vcompare_runner.run.progress import LiveProgress, PlainProgress

ACTIVE = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\x7f", "\u202e", "\udc80", "\x00"]


@pytest.mark.parametrize("text", ACTIVE, ids=ascii)
def test_on_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"a{text}b")
    terminal.warn(f"a{text}b")
    terminal.show_table(["x"], [[f"a{text}b"]])
    said = capsys.readouterr()
    assert text not in said.out + said.err
    assert text[0].encode("unicode_escape").decode() in said.out
    assert visible("plain – ×\ttext\n") == "plain – ×\ttext\n"


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m"], ids=ascii)
def test_in_progress(text: str) -> None:
    block = MeasuredBlock(f"h{text}", 1, 2, ((f"a{text}", "failed", f"r{text}"),), 1, False)
    for live in (False, True):
        stream = io.StringIO()
        state = RunState([block.host], 2)
        state.measured[block.host, 1] = block
        if live:
            shown = LiveProgress(state, stream, force=True)
            shown._console.print(shown.picture())
            shown.say(text)
        else:
            PlainProgress(state, stream).say(f"x{text}")
        assert text not in stream.getvalue()
        assert text[0].encode("unicode_escape").decode() in stream.getvalue()


def test_in_names_of_folders(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic().write(home / "runs").rename(home / "runs" / "a\x1b[31mb")
    with pytest.raises(SystemExit):
        cli.main(["runs"])
    with pytest.raises(SystemExit):
        cli.main(["report", "a\x1b[32mc"])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\\x1b[32mc" in said.err


def test_in_a_report(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>\x1b[2J"
    folder = Synthetic(refused={"xen-pv": nasty}).write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["profile"]["name"] = nasty
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_report(folder, tmp_path / "out")
    for name in ("report.md", "index.html", "junit.xml", "report.json"):
        text = (tmp_path / "out" / name).read_text()
        # Inside a fence nothing is acted on.
        text = re.sub(r"```\w*\n.*?\n```", "", text, flags=re.S) if name == "report.md" else text
        if name != "report.json":
            assert "<script>alert" not in text, name
        if name != "index.html":
            assert "\x1b" not in (tmp_path / "out" / name).read_text(), name
    assert "&lt;script&gt;" in (tmp_path / "out" / "report.md").read_text().split("##")[0]
