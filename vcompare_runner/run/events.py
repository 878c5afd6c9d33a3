# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the events of ansible-runner mean: stages, measured blocks, failures.

Play names are ``<stage>: <text>``, and the measuring task returns what it measured
(docs/contracts.md, "Playbooks"). Nothing here prints, and time comes from the events, so that a
recorded run gives the same state again.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

MEASURE_ACTIONS = frozenset({"vcompare.lab.measure", "measure"})
# plugins/plugin_utils/notice.py has the same.
NOTICE_MARK = "vcompare: "
NEXT_ACTIONS = frozenset({"vcompare.lab.measure_next", "measure_next"})

Event = t.Mapping[str, t.Any]

# What moves a terminal's cursor, colours it, or names its window: evidence is often a console's.
_ESCAPES = re.compile(
    r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])|[\x00-\x08\x0b\x0c\x0e-\x1f]"
)


@dataclasses.dataclass
class Stage:
    """One stage of a run. Times in seconds since the epoch."""

    name: str
    text: str
    started: float
    ended: float | None = None
    failed: bool = False

    def elapsed(self, now: float) -> float:
        """Return how long it took, or has taken so far."""
        return max(0.0, (self.ended if self.ended is not None else now) - self.started)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A task that failed.

    :param remedy: what its module says can be done; empty when it says nothing.
    :param evidence: what it saw, e.g. the last lines of a console.
    """

    host: str
    task: str
    message: str
    remedy: str = ""
    evidence: str = ""
    unreachable: bool = False


@dataclasses.dataclass(frozen=True)
class MeasuredBlock:
    """The result of the measuring task for one block of one host.

    :param blocks: of the run; with ``at_least`` there may be more.
    """

    host: str
    block: int
    blocks: int
    arms: tuple[tuple[str, str, str | None], ...]
    samples: int
    skipped: bool
    at_least: bool = False


class RunState:
    """The state of a run, fed with events.

    :param hosts: hosts that will be measured, when they are known beforehand.
    :param blocks: blocks of each host, when known beforehand.
    :param at_least: there may be more blocks than that.
    :param notices: whether lines about the progress of long tasks are shown.
    """

    def __init__(
        self,
        hosts: t.Iterable[str] = (),
        blocks: int | None = None,
        at_least: bool = False,
        notices: bool = True,
    ) -> None:
        self._shows_notices = notices
        self.hosts = list(dict.fromkeys(hosts))
        self.blocks = blocks
        self.at_least = at_least
        self.stopped = ""
        self.stages: list[Stage] = []
        self.task = ""
        self.busy: dict[str, tuple[str, float]] = {}
        self.measured: dict[tuple[str, int], MeasuredBlock] = {}
        self.failures: list[Failure] = []
        # Task → host → its last result.
        self.results_of: dict[str, dict[str, t.Any]] = {}
        self.messages: list[str] = []
        self.notices: list[str] = []
        self.now = 0.0
        self._measuring_since: float | None = None
        self._last_measured = 0.0
        self._failed_hosts: set[str] | None = None

    @property
    def stage(self) -> Stage | None:
        """The current stage."""
        return self.stages[-1] if self.stages and self.stages[-1].ended is None else None

    @property
    def done(self) -> int:
        """How many blocks are done, over all hosts."""
        return len(self.measured)

    @property
    def total(self) -> int | None:
        """How many blocks there will be, over all hosts; ``None`` when unknown."""
        if not self.blocks or not self.hosts:
            return None
        return max(self.blocks * len(self.hosts), self.done)

    @property
    def left(self) -> int | None:
        """How many blocks are still to be done; ``None`` when unknown."""
        return None if self.total is None else self.total - self.done

    def remaining_s(self, now: float) -> float | None:
        """Estimate the seconds until all blocks are done, from those that were measured so far.

        Blocks per time on the wall, so that it holds for hosts that take turns and for hosts that
        measure at once.
        ``None`` before the first block.
        """
        fresh = sum(not block.skipped for block in self.measured.values())
        if not fresh or self.left is None or self._measuring_since is None:
            return None
        per_block = (self._last_measured - self._measuring_since) / fresh
        return max(0.0, per_block * self.left - (now - self._last_measured))

    def current_block(self, host: str) -> int:
        """Return the number of the block that a host is at."""
        return 1 + max((block for name, block in self.measured if name == host), default=0)

    def final_failures(self) -> list[Failure]:
        """Return the failures that ended the run.

        The last one of each host that Ansible counts as failed.
        """
        last = {failure.host: failure for failure in self.failures}
        if self._failed_hosts is None:
            return list(last.values())
        # A failure that a playbook rescued, or was told to ignore, ended nothing.
        return [failure for host, failure in last.items() if host in self._failed_hosts]

    def feed(self, event: Event) -> None:
        """Take in one event."""
        self.now = event_time(event) or self.now
        data = event.get("event_data") or {}
        handler = getattr(self, f"_on_{event.get('event', '')}", None)
        if handler is not None:
            handler(data)
        elif event.get("event") in ("error", "verbose") and (
            text := plain_text(event.get("stdout"))
        ):
            self.messages.append(text)
            if self._shows_notices and text.startswith(NOTICE_MARK):
                self.notices.append(text.removeprefix(NOTICE_MARK))

    def _on_playbook_on_play_start(self, data: Event) -> None:
        name, _colon, text = str(data.get("name") or data.get("play") or "").partition(":")
        name, text = name.strip(), text.strip()
        self.busy.clear()
        if self.stage is not None and self.stage.name == name:
            self.stage.text = text
            return
        self._end_stage()
        self.stages.append(Stage(name, text, self.now))

    def _on_playbook_on_task_start(self, data: Event) -> None:
        self.task = str(data.get("task") or data.get("name") or "")

    def _on_playbook_on_handler_task_start(self, data: Event) -> None:
        self._on_playbook_on_task_start(data)

    def _on_runner_on_start(self, data: Event) -> None:
        self.busy[str(data.get("host"))] = (str(data.get("task") or self.task), self.now)
        if is_measuring(data) and self._measuring_since is None:
            self._measuring_since = self.now

    def _on_runner_on_ok(self, data: Event) -> None:
        self.busy.pop(str(data.get("host")), None)
        result = data.get("res") or {}
        self.results_of.setdefault(str(data.get("task") or ""), {})[str(data.get("host"))] = result
        self._take_measured(data, result)
        if _action(data) & NEXT_ACTIONS and result.get("stopped"):
            self.stopped, self.at_least = str(result["stopped"]), False

    def _on_runner_item_on_ok(self, data: Event) -> None:
        self._take_measured(data, data.get("res") or {})

    def _on_runner_on_skipped(self, data: Event) -> None:
        self.busy.pop(str(data.get("host")), None)
        self._on_runner_item_on_skipped(data)

    def _on_runner_item_on_skipped(self, data: Event) -> None:
        # A result with `skipped` in it is a skipped task to Ansible, which then takes the word out
        # of the result: that is how a block comes that was measured before.
        self._take_measured(data, {**(data.get("res") or {}), "skipped": True})

    def _on_runner_on_failed(self, data: Event) -> None:
        self.busy.pop(str(data.get("host")), None)
        if data.get("ignore_errors"):
            return
        result = data.get("res") or {}
        # The task of a loop fails with "one or more items failed"; its items said what.
        if not (
            result.get("results")
            and self.failures
            and self.failures[-1].task == str(data.get("task"))
        ):
            self.failures.append(failure_of(data, result))

    def _on_runner_item_on_failed(self, data: Event) -> None:
        if not data.get("ignore_errors"):
            self.failures.append(failure_of(data, data.get("res") or {}))

    def _on_runner_on_unreachable(self, data: Event) -> None:
        self.busy.pop(str(data.get("host")), None)
        self.failures.append(
            dataclasses.replace(failure_of(data, data.get("res") or {}), unreachable=True)
        )

    def _on_playbook_on_stats(self, data: Event) -> None:
        self._failed_hosts = {
            host for key in ("failures", "dark") for host in (data.get(key) or {})
        }
        if self.stage is not None:
            self.stage.failed = bool(self._failed_hosts)
        self._end_stage()
        self.busy.clear()

    def _end_stage(self) -> None:
        if self.stages and self.stages[-1].ended is None:
            self.stages[-1].ended = self.now

    def _take_measured(self, data: Event, result: Event) -> None:
        if not is_measuring(data) or not isinstance(result.get("block"), int):
            return
        host = str(result.get("host") or data.get("host"))
        if isinstance(result.get("blocks"), int):
            # A host that is behind does not know of the blocks that others have begun.
            self.blocks = max(self.blocks or 0, result["blocks"])
        if isinstance(result.get("at_least"), bool):
            self.at_least = result["at_least"]
        if host not in self.hosts:
            self.hosts.append(host)
        block = MeasuredBlock(
            host=host,
            block=result["block"],
            blocks=self.blocks or result["block"],
            arms=tuple(
                (arm.get("arm", "?"), arm.get("status", "?"), arm.get("reason"))
                for arm in result.get("arms") or ()
            ),
            samples=result.get("samples") or 0,
            skipped=bool(result.get("skipped")),
            at_least=self.at_least,
        )
        self.measured[host, block.block] = block
        if block.skipped and not any(not other.skipped for other in self.measured.values()):
            # Blocks of an earlier session took no time in this one.
            self._measuring_since = self.now
        self._last_measured = self.now


def is_measuring(data: Event) -> bool:
    """Say whether an event is of the measuring task."""
    return bool(_action(data) & MEASURE_ACTIONS)


def _action(data: Event) -> set[str]:
    """The names that the action of an event's task goes by."""
    return {str(data.get("resolved_action")), str(data.get("task_action"))}


def event_time(event: Event) -> float | None:
    """Return when an event was created, in seconds since the epoch."""
    try:
        moment = datetime.datetime.fromisoformat(str(event.get("created")).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def failure_of(data: Event, result: Event) -> Failure:
    """Take the module's own words from the result of a failed task."""
    keys = ("msg", "message", "censored", "stderr", "module_stderr")
    texts = (_text(result.get(key)) for key in keys)
    message = next((text for text in texts if text), "the task failed without a message")
    # What Ansible says of a command is not a message; the command may have left one.
    said = _text(result.get("stderr")) or _text(result.get("stdout"))
    if message == "non-zero return code" and said:
        message = f"{message}: {said}"
    return Failure(
        host=str(data.get("host") or "?"),
        task=str(data.get("task") or "?"),
        message=message,
        remedy=_text(result.get("remedy")),
        evidence=_text(result.get("evidence")),
    )


def _text(value: t.Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        value = "\n".join(str(item) for item in value)
    return plain_text(value).strip()


def plain_text(value: t.Any) -> str:
    """Strip what only a terminal understands from a line."""
    return _ESCAPES.sub("", str(value or "")).replace("\r", "").strip("\n")
