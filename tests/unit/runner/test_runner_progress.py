# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a recorded run tells: stages, blocks, time left, failures; as plain lines and as a picture."""

from __future__ import annotations

import io
import typing as t

import pytest

from vcompare_runner.run.events import RunState
from vcompare_runner.run.progress import (
    LiveProgress,
    PlainProgress,
    about,
    duration,
    make_progress,
    wants_plain,
)

START = 1795514400.0  # 2026-11-24T10:00:00Z


def event(kind: str, after: float, **data: t.Any) -> dict[str, t.Any]:
    from datetime import UTC, datetime

    created = datetime.fromtimestamp(START + after, UTC).replace(tzinfo=None).isoformat()
    return {"event": kind, "created": created, "event_data": data}


def play(after: float, name: str) -> dict[str, t.Any]:
    return event("playbook_on_play_start", after, name=name, play=name)


def measured(
    after: float, host: str, block: int, kind: str = "runner_on_ok", **more: t.Any
) -> dict[str, t.Any]:
    arms = [{"arm": "bare", "status": "ok", "reason": None}]
    arms += more.pop("arms", [])
    result = {
        "block": block,
        "blocks": 3,
        "host": host,
        "arms": arms,
        "samples": 7,
        "skipped": False,
    }
    return event(
        kind,
        after,
        host=host,
        task="a block",
        task_action="vcompare.lab.measure",
        res={**result, **more},
    )


def started(after: float, host: str, action: str = "vcompare.lab.measure") -> dict[str, t.Any]:
    return event("runner_on_start", after, host=host, task="a block", task_action=action)


RUN = [
    play(0, "check: what this machine has"),
    event("playbook_on_task_start", 0, task="look", name="look"),
    play(4, "provision: Docker"),
    play(65, "provision: Xen"),
    play(190, "measure: quick"),
    started(190, "lab-linux"),
    measured(
        250, "lab-linux", 1, arms=[{"arm": "kvm", "status": "failed", "reason": "no console"}]
    ),
    started(250, "lab-xen"),
    measured(310, "lab-xen", 1, kind="runner_item_on_ok"),
    started(310, "lab-linux"),
    event("playbook_on_stats", 400, ok={"lab-linux": 3}, failures={}, dark={}),
]


def feed(state: RunState, events: list[dict[str, t.Any]]) -> RunState:
    for each in events:
        state.feed(each)
    return state


def plain(events: list[dict[str, t.Any]], state: RunState | None = None) -> list[str]:
    stream = io.StringIO()
    with PlainProgress(state or RunState(["lab-linux", "lab-xen"], 3), stream) as progress:
        for each in events:
            progress.event(each)
    return stream.getvalue().splitlines()


def test_plain_lines_of_a_run() -> None:
    assert plain(RUN) == [
        "2026-11-24T10:00:00Z check: what this machine has",
        "2026-11-24T10:00:04Z check: done in 4 s",
        "2026-11-24T10:00:04Z provision: Docker",
        "2026-11-24T10:03:10Z provision: done in 3 min 06 s",
        "2026-11-24T10:03:10Z measure: quick",
        "2026-11-24T10:04:10Z lab-linux: block 1 of 3 done (bare ok; kvm failed: no console); "
        "1 of 6 blocks, about 5 min left",
        "2026-11-24T10:05:10Z lab-xen: block 1 of 3 done (bare ok); 2 of 6 blocks, about 4 min left",
        "2026-11-24T10:06:40Z measure: done in 3 min 30 s",
    ]


def test_there_is_no_escape_code_in_plain_lines() -> None:
    noisy = [
        play(0, "check: x"),
        event("verbose", 0) | {"stdout": "\x1b[31mred\x1b[0m"},
        event("runner_on_failed", 1, host="h", task="t", res={"msg": "\x1b[31mboom"}),
    ]
    assert not any("\x1b" in line for line in plain(noisy))


def test_hosts_that_measure_at_once_shorten_the_estimate() -> None:
    together = [
        play(0, "measure: quick"),
        started(0, "lab-linux"),
        started(0, "lab-xen"),
        measured(60, "lab-linux", 1),
        measured(60, "lab-xen", 1),
    ]
    state = feed(RunState(["lab-linux", "lab-xen"], 3), together)
    # Two blocks a minute, and four are left.
    assert state.remaining_s(START + 60) == pytest.approx(120)
    assert state.remaining_s(START + 90) == pytest.approx(90)
    assert state.remaining_s(START + 1000) == 0


def test_no_estimate_before_the_first_block() -> None:
    state = feed(RunState(["lab-linux"], 3), [play(0, "measure: x"), started(0, "lab-linux")])
    assert state.remaining_s(START + 30) is None


@pytest.mark.parametrize("kind", ["runner_on_ok", "runner_on_skipped", "runner_item_on_skipped"])
def test_blocks_of_an_earlier_session_take_no_time_in_the_estimate(kind: str) -> None:
    events = [
        play(0, "measure: quick"),
        started(0, "lab-linux"),
        measured(10, "lab-linux", 1, kind=kind, skipped=True),
        started(10, "lab-linux"),
        measured(70, "lab-linux", 2),
    ]
    state = feed(RunState(["lab-linux"], 3), events)
    assert state.done == 2
    assert state.remaining_s(START + 70) == pytest.approx(60)
    assert any("block 1 of 3 was measured before" in line for line in plain(events))


def test_current_block_of_a_host() -> None:
    state = feed(RunState(["lab-linux", "lab-xen"], 3), RUN[:-1])
    assert state.current_block("lab-linux") == 2
    assert state.busy["lab-linux"][0] == "a block"
    assert "lab-xen" not in state.busy or state.current_block("lab-xen") == 2


def test_other_tasks_are_not_taken_for_blocks() -> None:
    other = event(
        "runner_on_ok", 1, host="h", task="x", task_action="debug", res={"block": 1, "blocks": 2}
    )
    assert feed(RunState(), [other]).measured == {}


def failed(after: float, task: str, **result: t.Any) -> dict[str, t.Any]:
    ignore = result.pop("ignore_errors", None)
    return event("runner_on_failed", after, host="h", task=task, ignore_errors=ignore, res=result)


def stats(
    after: float, failures: dict[str, int], dark: dict[str, int] | None = None
) -> dict[str, t.Any]:
    return event("playbook_on_stats", after, failures=failures, dark=dark or {})


def test_failures_have_the_words_of_their_module() -> None:
    state = feed(
        RunState(),
        [
            play(0, "lab: x"),
            failed(
                1, "start it", msg="it did not start", remedy="give it memory", evidence=["a", "b"]
            ),
            stats(2, {"h": 1}),
        ],
    )
    (failure,) = state.final_failures()
    assert (failure.message, failure.remedy, failure.evidence) == (
        "it did not start",
        "give it memory",
        "a\nb",
    )
    assert state.stages[0].failed


def test_rescued_and_ignored_failures_did_not_end_the_run() -> None:
    events = [
        play(0, "lab: x"),
        failed(1, "rescued", msg="never mind"),
        failed(2, "ignored", msg="never mind", ignore_errors=True),
        stats(3, {}),
    ]
    state = feed(RunState(), events)
    assert state.final_failures() == []
    assert not state.stages[0].failed


def test_an_item_of_a_loop_says_what_its_task_does_not() -> None:
    item = event("runner_item_on_failed", 1, host="h", task="loop", res={"msg": "item 3 is broken"})
    whole = failed(1, "loop", msg="One or more items failed", results=[{}])
    (failure,) = feed(RunState(), [item, whole, stats(2, {"h": 1})]).final_failures()
    assert failure.message == "item 3 is broken"


def test_unreachable_hosts() -> None:
    gone = event("runner_on_unreachable", 1, host="h", task="t", res={"msg": "no route"})
    (failure,) = feed(RunState(), [gone, stats(2, {}, {"h": 1})]).final_failures()
    assert failure.unreachable


def test_commands_have_their_stderr_as_message() -> None:
    state = feed(
        RunState(), [failed(1, "t", msg="non-zero return code", rc=3, stderr="mke2fs: no space")]
    )
    assert "mke2fs: no space" in state.failures[0].message


def test_sign_of_life_when_nothing_is_said() -> None:
    stream = io.StringIO()
    now = [START]
    progress = PlainProgress(RunState(), stream, clock=lambda: now[0])
    progress.event(play(0, "image: build"))
    progress.event(started(1, "localhost", action="command"))
    now[0] = START + 30
    progress.tick()
    assert len(stream.getvalue().splitlines()) == 1
    now[0] = START + 75
    progress.tick()
    progress.tick()
    lines = stream.getvalue().splitlines()
    assert lines[1:] == ["2026-11-24T10:01:15Z image: still at a block on localhost (1 min 14 s)"]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_plain_where_there_is_no_terminal_or_no_colour_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert wants_plain(io.StringIO())
    assert not wants_plain(Terminal())
    assert isinstance(make_progress(RunState(), Terminal()), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert wants_plain(Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "")
    assert wants_plain(Terminal())


def test_the_picture_of_a_run() -> None:
    import rich.console

    stream = Terminal()
    progress = LiveProgress(
        RunState(["lab-linux", "lab-xen"], 3), stream, clock=lambda: START + 330, force=True
    )
    for each in RUN[:-1]:
        progress.state.feed(each)
    shown = rich.console.Console(file=io.StringIO(), width=100, record=True)
    shown.print(progress.picture())
    text = shown.export_text()
    assert "✓  check" in text
    assert "3 min 06 s" in text
    assert "2 of 6 blocks, about 4 min left" in text
    assert "kvm" in text
    assert "1 failed" in text
    assert "no console" in text
    assert "lab-linux: block 2 of 3, a block (20 s)" in text


def test_live_progress_leaves_its_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with LiveProgress(
        RunState(["lab-linux"], 3), stream, clock=lambda: START + 400, force=True
    ) as live:
        for each in RUN:
            live.event(each)
        live.tick()
        live.say("a word")
    assert "a word" in stream.getvalue()
    assert "measure" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(20, "less than a minute left"), (100, "about 2 min left"), (9000, "about 2.5 h left")],
)
def test_estimates(seconds: float, shown: str) -> None:
    assert about(seconds) == shown
