# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Progress for people: a live picture on a terminal, lines with the time everywhere else."""

from __future__ import annotations

import datetime
import os
import time
import typing as t

import rich.box
import rich.console
import rich.live
import rich.progress_bar
import rich.spinner
import rich.table
import rich.text

from vcompare_runner.core.escape import visible
from vcompare_runner.run.events import Event, MeasuredBlock, RunState, event_time

# Without a line for this long, a plain log says what it is waiting for.
SIGN_OF_LIFE_S = 60.0


class Progress(t.Protocol):
    """What follows a run. Handlers are called for every event: they have to be fast."""

    state: RunState

    def __enter__(self) -> Progress:
        """Begin to show."""

    def __exit__(self, *exception: object) -> None:
        """Leave the last state on the screen."""

    def event(self, event: Event) -> None:
        """Take in one event."""

    def tick(self) -> None:
        """Show that time passes; called about twice a second."""

    def say(self, text: str) -> None:
        """Show a line of our own."""


def _shown(text: str, **style: t.Any) -> rich.text.Text:
    return rich.text.Text(visible(text), **style)


def wants_plain(stream: t.TextIO) -> bool:
    """Say whether a stream shall get plain lines.

    No terminal, a dumb one, or the user wants no colour.
    """
    return (
        not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
    )


def make_progress(state: RunState, stream: t.TextIO, plain: bool | None = None) -> Progress:
    """Make the progress that fits a stream."""
    if wants_plain(stream) if plain is None else plain:
        return PlainProgress(state, stream)
    return LiveProgress(state, stream)


def duration(seconds: float) -> str:
    """Render a duration: ``8 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(seconds: float) -> str:
    """Render an estimate: no finer than it is known."""
    if seconds < 45:
        return "less than a minute left"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"


def outcome_words(block: MeasuredBlock) -> str:
    """Say how the arms of a block fared.

    Those that are ok by name, the others with their reason.
    """
    fine = [arm for arm, status, _reason in block.arms if status == "ok"]
    words = [f"{', '.join(fine)} ok"] if fine else []
    words += [
        f"{arm} {status}: {reason or 'no reason given'}"
        for arm, status, reason in block.arms
        if status != "ok"
    ]
    return "; ".join(words)


def block_words(block: MeasuredBlock, state: RunState, now: float) -> str:
    """Say that a block is done, how far the run is, and how long it will take."""
    of = f"{at_least(block.at_least)}{block.blocks}"
    if block.skipped:
        return f"{block.host}: block {block.block} of {of} was measured before"
    words = f"{block.host}: block {block.block} of {of} done ({outcome_words(block)})"
    if state.total:
        words += f"; {state.done} of {at_least(state.at_least)}{state.total} blocks"
        remaining = state.remaining_s(now)
        if remaining is not None and state.left:
            words += f", {about(remaining)}"
    return words


def at_least(more: bool) -> str:
    """Words before a number of blocks that may grow."""
    return "at least " if more else ""


class PlainProgress:
    """Lines with the time in UTC: for logs, pipes, CI."""

    def __init__(
        self, state: RunState, stream: t.TextIO, clock: t.Callable[[], float] = time.time
    ) -> None:
        self.state = state
        self._stream = stream
        self._clock = clock
        self._said_at = clock()
        self._stages = 0
        self._blocks: set[tuple[str, int]] = set()
        self._failures = 0
        self._notices = 0

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stream.flush()

    def event(self, event: Event) -> None:
        """Print a line when something that matters happened."""
        before = self.state.stage
        self.state.feed(event)
        now = event_time(event) or self._clock()
        if before is not None and before.ended is not None:
            self._line(
                now,
                f"{before.name}: {'failed after' if before.failed else 'done in'} "
                f"{duration(before.elapsed(now))}",
            )
        for stage in self.state.stages[self._stages :]:
            self._line(now, f"{stage.name}: {stage.text}" if stage.text else stage.name)
        self._stages = len(self.state.stages)
        for key, block in self.state.measured.items():
            if key not in self._blocks:
                self._blocks.add(key)
                self._line(now, block_words(block, self.state, now))
        for text in self.state.notices[self._notices :]:
            self._line(now, text)
        self._notices = len(self.state.notices)
        for failure in self.state.failures[self._failures :]:
            self._line(
                now, f"failed on {failure.host}: {failure.task}: {failure.message.splitlines()[0]}"
            )
        self._failures = len(self.state.failures)

    def tick(self) -> None:
        """Give a sign of life when nothing was said for a while."""
        now = self._clock()
        if now - self._said_at < SIGN_OF_LIFE_S or self.state.stage is None:
            return
        waiting = [
            f"{task} on {host} ({duration(now - since)})"
            for host, (task, since) in sorted(self.state.busy.items())
        ]
        self._line(
            now,
            f"{self.state.stage.name}: still at {', '.join(waiting) or self.state.task or 'work'}",
        )

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._line(self._clock(), text)

    def _line(self, now: float, text: str) -> None:
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        self._stream.write(f"{moment:%Y-%m-%dT%H:%M:%SZ} {visible(' '.join(text.split()))}\n")
        self._stream.flush()
        self._said_at = self._clock()


class LiveProgress:
    """A picture that changes in place.

    Stages with their times, blocks, what runs where, time left.
    """

    def __init__(
        self,
        state: RunState,
        stream: t.TextIO,
        clock: t.Callable[[], float] = time.time,
        force: bool = False,
    ) -> None:
        self.state = state
        self._clock = clock
        self._console = rich.console.Console(
            file=stream, force_terminal=force or None, highlight=False
        )
        self._live = rich.live.Live(
            console=self._console, get_renderable=self.picture, refresh_per_second=4
        )
        self._spinner = rich.spinner.Spinner(
            "dots" if self._console.encoding.startswith("utf") else "line"
        )
        self._failures = 0
        self._notices = 0

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def event(self, event: Event) -> None:
        """Take in one event; the picture is drawn from the state by a thread of rich."""
        self.state.feed(event)
        for text in self.state.notices[self._notices :]:
            self.say(text)
        self._notices = len(self.state.notices)
        for failure in self.state.failures[self._failures :]:
            first = failure.message.splitlines()[0]
            self._console.print(
                _shown(f"failed on {failure.host}: {failure.task}: {first}", style="red")
            )
        self._failures = len(self.state.failures)

    def tick(self) -> None:
        """Nothing: the picture moves by itself."""

    def say(self, text: str) -> None:
        """Show a line of our own above the picture."""
        self._console.print(_shown(text))

    def picture(self) -> rich.console.RenderableType:
        """Draw the state."""
        now = self._clock()
        table = rich.table.Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(min_width=10)
        table.add_column(justify="right", min_width=9)
        table.add_column(overflow="fold")
        utf = self._console.encoding.startswith("utf")
        for stage in list(self.state.stages):
            if stage.ended is None:
                mark: rich.console.RenderableType = self._spinner
                style = "bold"
            else:
                mark = _shown(
                    ("✗" if utf else "x") if stage.failed else ("✓" if utf else "+"),
                    style="red" if stage.failed else "green",
                )
                style = "dim"
            elapsed = duration(stage.elapsed(now))
            table.add_row(
                mark,
                _shown(stage.name, style=style),
                elapsed,
                _shown(stage.text, style=style),
            )
        parts: list[rich.console.RenderableType] = [table]
        if self.state.measured and self.state.total:
            parts.append(self._measuring(now))
        busy = [
            f"{host}: {self._doing(host, task)} ({duration(now - since)})"
            for host, (task, since) in sorted(self.state.busy.items())
        ]
        parts += [
            _shown(f"   {line}", style="cyan", overflow="ellipsis", no_wrap=True)
            for line in busy[:6]
        ]
        return rich.console.Group(*parts)

    def _doing(self, host: str, task: str) -> str:
        if (
            self.state.stage is not None
            and self.state.stage.name == "measure"
            and self.state.blocks
        ):
            block = self.state.current_block(host)
            if not self.state.at_least:
                block = min(block, self.state.blocks)
            return f"block {block} of {at_least(self.state.at_least)}{self.state.blocks}, {task}"
        return task

    def _measuring(self, now: float) -> rich.console.RenderableType:
        done, total = self.state.done, self.state.total or 1
        remaining = self.state.remaining_s(now)
        words = f"{done} of {at_least(self.state.at_least)}{total} blocks"
        if remaining is not None and self.state.left:
            words += f", {about(remaining)}"
        grid = rich.table.Table.grid(padding=(0, 1))
        grid.add_row(
            "  ",
            rich.progress_bar.ProgressBar(total=total, completed=done, width=30),
            _shown(words),
        )
        table = rich.table.Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
        for heading in ("   arm", "host", "blocks", ""):
            table.add_column(heading, header_style="dim")
        for (arm, host), counts, reason in self._arms():
            colour = "green" if set(counts) <= {"ok"} else "yellow"
            shown = ", ".join(f"{number} {status}" for status, number in counts.items())
            table.add_row(
                _shown(f"   {arm}"),
                _shown(host),
                _shown(shown, style=colour),
                _shown(reason or "", style="dim"),
            )
        return rich.console.Group(grid, table)

    def _arms(self) -> list[tuple[tuple[str, str], dict[str, int], str | None]]:
        counts: dict[tuple[str, str], dict[str, int]] = {}
        reasons: dict[tuple[str, str], str | None] = {}
        for block in list(self.state.measured.values()):
            for arm, status, reason in block.arms:
                tally = counts.setdefault((arm, block.host), {})
                tally[status] = tally.get(status, 0) + 1
                if status != "ok":
                    reasons[arm, block.host] = reason
        return [(key, tally, reasons.get(key)) for key, tally in counts.items()]
