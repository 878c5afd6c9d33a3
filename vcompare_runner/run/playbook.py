# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Run a playbook through ansible-runner.

ansible-runner keeps what it was given: the environment (with whatever secrets it has) in
``command``, every result in
``job_events``, facts in a cache. So it gets a folder of its own that only we can read, and that is
removed at the end. What is kept is the log, as Ansible would have printed it: results of ``no_log``
tasks are censored there already.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import sys
import tempfile
import typing as t
from pathlib import Path

import ansible_runner
import ansible_runner.exceptions

from vcompare_runner.core.errors import PlaybookError
from vcompare_runner.run.environment import (
    ASK_REMEDY,
    ansible_environment,
    asks_for_passwords,
    home_environment,
)
from vcompare_runner.run.events import Failure, RunState, plain_text
from vcompare_runner.run.hints import hints
from vcompare_runner.run.interrupt import GRACE_S, Interrupt, Stopper
from vcompare_runner.run.progress import Progress
from vcompare_runner.run.project import Project, ansible_program
from vcompare_runner.run.room import RoomWatch, full_disks

# How often, in seconds, ansible-runner looks whether to stop.
_POLL_S = 0.5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a playbook ended.

    :param rc: exit code of ansible-playbook.
    :param interrupted: whether it was stopped by a signal.
    :param log: what Ansible printed.
    :param left: processes that could not be ended.
    :param asks: whether the user's configuration has Ansible ask for a password, which it can't here.
    :param full: disks of the home that had no room left at the end, in sentences.
    """

    rc: int
    interrupted: bool
    state: RunState
    log: Path
    left: tuple[int, ...] = ()
    full: tuple[str, ...] = ()
    asks: bool = False

    @property
    def ok(self) -> bool:
        """Whether the playbook did all of its work."""
        return self.rc == 0 and not self.interrupted

    @property
    def failures(self) -> list[Failure]:
        """What ended it."""
        return self.state.final_failures()


def run_playbook(
    playbook: Path,
    *,
    project: Project,
    inventory: t.Sequence[Path | str],
    extra_vars: t.Mapping[str, t.Any],
    log: Path,
    progress: Progress,
    interrupt: Interrupt,
    home: Path,
    grace_s: float = GRACE_S,
    options: t.Sequence[str] = (),
) -> Outcome:
    """Run a playbook to its end, or until it is interrupted.

    :param log: file that Ansible's output is appended to; made readable for its owner only.
    :param progress: is given every event.
    :param interrupt: an entered ``Interrupt``; when it is requested, Ansible and what it started
        are ended.
    :param home: its disks are watched; the inventory plugin, which sees no extra variables, finds the lab there.
    :param grace_s: seconds that Ansible has to end by itself then.
    :param options: further ones of ansible-playbook.
    :raises PlaybookError: ansible-runner could not even start it.
    """
    state = progress.state
    if interrupt.requested:
        return Outcome(254, True, state, log)
    program = ansible_program("ansible-playbook")
    environment = ansible_environment(project)
    watch = RoomWatch(home, progress.say)

    def tick() -> None:
        progress.tick()
        watch.tick()

    stopper = Stopper(interrupt, tick, grace_s)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with (
        os.fdopen(descriptor, "a", encoding="utf-8", errors="replace") as lines,
        tempfile.TemporaryDirectory(prefix="vcompare-") as private,
    ):
        _write_settings(Path(private))

        def on_event(event: dict[str, t.Any]) -> bool:
            if text := plain_text(event.get("stdout")):
                lines.write(text + "\n")
                lines.flush()
            progress.event(event)
            # Not kept: results may be large, and the log has what people need.
            return False

        def on_status(status: dict[str, t.Any], runner_config: t.Any) -> None:
            if status.get("status") == "running":
                # Holds the whole environment. Nothing reads it, so it goes before the work begins.
                with contextlib.suppress(OSError):
                    Path(runner_config.artifact_dir, "command").unlink()

        try:
            runner = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(project.root),
                binary=sys.executable,
                cmdline=shlex.join(
                    ["-m", "vcompare_runner.run.guard", str(program), *options, str(playbook)],
                ),
                inventory=[str(item) for item in inventory],
                extravars=dict(extra_vars),
                envvars={**environment, **home_environment(home)},
                suppress_env_files=True,
                suppress_output_file=True,
                fact_cache_type="memory",
                quiet=True,
                event_handler=on_event,
                status_handler=on_status,
                cancel_callback=stopper,
            )
        except (ansible_runner.exceptions.AnsibleRunnerException, OSError) as error:
            raise PlaybookError(
                f"{playbook.name} could not be started: {error}", f"the log is {log}"
            ) from error
        finally:
            left = tuple(stopper.finish()) if interrupt.requested else ()
    rc = 254 if runner.rc is None else runner.rc
    full = tuple(full_disks(home).values()) if rc else ()
    asks = bool(rc) and asks_for_passwords(project)
    return Outcome(rc, interrupt.requested, state, log, left, full, asks)


def _write_settings(private: Path) -> None:
    """Write what ansible-runner reads from a file only.

    Settings given as an argument are dropped without one.
    """
    folder = private / "env"
    folder.mkdir(mode=0o700)
    (folder / "settings").write_text(json.dumps({"pexpect_timeout": _POLL_S}))


def failure_lines(outcome: Outcome) -> list[str]:
    """Put a failed run into words.

    Each failed task's own message, remedy and evidence, and where the log is.
    """
    lines: list[str] = []
    for failure in outcome.failures:
        what = "can't be reached" if failure.unreachable else f"task '{failure.task}' failed"
        lines.append(f"{failure.host}: {what}: {failure.message}")
        if failure.evidence:
            lines += [f"  | {line}" for line in failure.evidence.splitlines()[-15:]]
        # A module that is read in Ansible's own output has its remedy in its message.
        if failure.remedy and failure.remedy not in failure.message:
            lines.append(f"  remedy: {failure.remedy}")
    if not lines:
        # No task failed: Ansible itself did (a playbook that can't be parsed, a missing role).
        said = [text for text in outcome.state.messages if text.strip()][-15:]
        lines = said or [f"ansible-playbook ended with exit code {outcome.rc} and said nothing"]
    found = hints([*lines, *outcome.state.messages])
    if outcome.asks and ASK_REMEDY not in found:
        found.append(ASK_REMEDY)
    lines += [f"  remedy: {hint}" for hint in found]
    lines += outcome.full
    lines.append(f"log: {outcome.log}")
    return lines
