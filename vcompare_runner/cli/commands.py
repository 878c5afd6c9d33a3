# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the commands do. Each returns its exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
import typing as t
from pathlib import Path

from vcompare_runner._contract.ids import new_run_id
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.core.errors import (
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    PlaybookError,
    UsageError,
    VcompareError,
)
from vcompare_runner.core.names import DEFAULT_LAB, DEFAULT_PROFILE
from vcompare_runner.run import home as homes
from vcompare_runner.run import plan as plans
from vcompare_runner.run import seen, server_plan, turns
from vcompare_runner.run.environment import home_environment
from vcompare_runner.run.events import RunState
from vcompare_runner.run.interrupt import Interrupt
from vcompare_runner.run.inventory import Inventory, list_inventory, read_inventory
from vcompare_runner.run.progress import at_least, duration, make_progress
from vcompare_runner.run.project import Project, find_project
from vcompare_runner.run.terminal import say, show_error, show_table, warn

if t.TYPE_CHECKING:
    from vcompare_runner.run.playbook import Outcome


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """The options of ``vcompare compare`` as they were given; ``None``: not given."""

    profile: str | None = None
    arms: list[str] | None = None
    scenarios: list[str] | None = None
    blocks: int | None = None
    budget: str | None = None
    seed: int | None = None
    claims: list[Path] | None = None
    systems: list[Path] | None = None
    accel: str | None = None
    nodes: int | None = None
    lab: str | None = None
    inventory: Path | None = None
    resume: str | None = None
    allow: list[str] | None = None
    keep_running: bool = False
    dry_run: bool = False


# These decide what a run is: a run that goes on keeps them.
_FIXED_BY_RESUME = (
    "profile",
    "arms",
    "scenarios",
    "blocks",
    "budget",
    "seed",
    "claims",
    "systems",
    "accel",
    "nodes",
    "lab",
)


def compare(options: CompareOptions) -> int:
    """Build the lab, measure, report."""
    home = homes.find_home()
    homes.check_home(home)
    request = _request(options, home)
    project = find_project()
    playbook = project.playbook("compare.yml")
    source = options.inventory or (
        Path(request.inventory) if request.inventory else project.default_inventory
    )
    extra_vars = request.extra_vars(home, options.keep_running)
    if options.allow is not None:
        # Not part of the request: who resumes a run says it again.
        extra_vars["vcompare_allow"] = plans.check_allowed(options.allow)
    inventory = read_inventory(source.absolute(), project, extra_vars, home_environment(home))
    plan = plans.make_plan(request, project, inventory)
    if options.dry_run:
        _show_plan(plan, project, inventory, home, resumed=options.resume is not None)
        return _plan_servers(project, inventory, extra_vars, home)
    folder = homes.make_private(home / "runs" / request.run)
    homes.make_private(folder / "events")
    plans.save_request(dataclasses.replace(request, inventory=str(source.absolute())), folder)
    more = plan.max_blocks > plan.blocks
    state = RunState(plan.hosts, plan.blocks, at_least=more)
    say(
        f"run {request.run}: {_count(len(plan.compared), 'arm')}, "
        f"{at_least(more)}{_count(plan.blocks, 'block')}, "
        f"home {home}"
    )
    outcome = play(
        playbook,
        project,
        source.absolute(),
        extra_vars,
        new_log(folder / "events", "compare"),
        state,
        home,
    )
    return _finish(outcome, folder, request)


def _plan_servers(
    project: Project, inventory: Inventory, extra_vars: t.Mapping[str, t.Any], home: Path
) -> int:
    """Show what would be changed on servers, which are only read; return the exit code."""
    if not server_plan.servers(inventory):
        return EXIT_OK
    outcome = play(
        project.playbook("plan.yml"),
        project,
        inventory.source,
        extra_vars,
        new_log(homes.make_private(home / "logs"), "plan"),
        # The plan is shown at the end, and not while hosts are asked.
        RunState(notices=False),
        home,
        server_plan.options(inventory),
    )
    if outcome.interrupted:
        say_stopped(outcome)
        return EXIT_INTERRUPTED
    if not outcome.ok and not outcome.failures:
        _say_failed(outcome)
        return EXIT_FAILED
    code = server_plan.show(outcome, inventory)
    if code == EXIT_OK:
        forget(outcome.log)
    return code


def _new_request(options: CompareOptions, run: str) -> plans.Request:
    return plans.new_request(
        run=run,
        lab=options.lab or DEFAULT_LAB,
        profile=options.profile or DEFAULT_PROFILE,
        seed=options.seed,
        arms=options.arms,
        scenarios=options.scenarios,
        blocks=options.blocks,
        claims=options.claims,
        systems=options.systems,
        accel=options.accel,
        inventory=options.inventory.absolute() if options.inventory else None,
        budget=options.budget,
        nodes=options.nodes,
    )


def _request(options: CompareOptions, home: Path) -> plans.Request:
    if options.resume is None:
        return _new_request(options, new_run_id())
    folder = homes.find_run(home, options.resume)
    summary = homes.summarise_run(folder)
    # One whose profile had no more time has it again; of a budget that was asked for, nothing is left.
    if summary.status == "finished" and not summary.has_more:
        raise UsageError(
            f"--resume: the run {folder.name} is finished",
            f"`vcompare report {folder.name}` shows it",
        )
    request = plans.load_request(folder)
    _check_unchanged(options, request)
    return request


def _check_unchanged(options: CompareOptions, begun: plans.Request) -> None:
    """Check that what was given again for a run that has begun is what it began with.

    :raises UsageError: an option is wrong, or differs; all that differ are named.
    """
    given = {name for name in _FIXED_BY_RESUME if getattr(options, name) is not None}
    if not given:
        return
    now = _new_request(options, begun.run)
    fields: dict[str, tuple[str, ...]] = {name: (_FIELDS.get(name, name),) for name in given}
    if "claims" in given:
        # Claims that are named by their ids are kept as the scenarios that they need.
        fields["claims"] = ("claims", "scenarios") if now.scenarios else ("claims",)
    other = [
        f"--{name} ({_shown(getattr(begun, field))})"
        for name in _FIXED_BY_RESUME
        for field in fields.get(name, ())
        if getattr(now, field) != getattr(begun, field)
    ]
    if other:
        raise UsageError(
            f"--resume: {', '.join(other)} can't be changed for a run that has begun",
            "leave it out, give what the run began with (in parentheses), or begin a new run",
        )


def _shown(value: t.Any) -> str:
    if value is None or value == ():
        return "not given"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


# Option → field of a request, where the names differ.
_FIELDS = {"budget": "budget_s"}


def new_log(folder: Path, name: str) -> Path:
    """Return a log file that is not there yet."""
    number = 1
    while (path := folder / f"{name}-{number:03d}.log").exists():
        number += 1
    return path


def play(
    playbook: Path,
    project: Project,
    inventory: Path,
    extra_vars: t.Mapping[str, t.Any],
    log: Path,
    state: RunState,
    home: Path,
    options: t.Sequence[str] = (),
) -> Outcome:
    # Late: ansible-runner takes half a second to import, and `vcompare runs` does not need it.
    from vcompare_runner.run.playbook import run_playbook

    with Interrupt() as interrupt, make_progress(state, sys.stderr) as progress:
        return run_playbook(
            playbook,
            project=project,
            inventory=[inventory],
            extra_vars=extra_vars,
            log=log,
            progress=progress,
            interrupt=interrupt,
            home=home,
            options=options,
        )


def _finish(outcome: Outcome, folder: Path, request: plans.Request) -> int:
    """Say how a comparison ended, report what there is, and return the exit code."""
    incomplete, trouble = None, None
    try:
        incomplete = _report_run(folder, quiet=outcome.interrupted)
    except VcompareError as error:
        trouble = error
        show_error(error)
    for host in turns.left_in_xen(folder):
        warn(
            f"vcompare: {host} was not seen to boot back into plain Linux: its next reboot does it, or a resumed run"
        )
    if outcome.interrupted:
        _say_interrupted(outcome, request)
        return EXIT_INTERRUPTED
    if not outcome.ok:
        _say_failed(outcome)
        if {stage.name for stage in outcome.state.stages} == {"check"}:
            warn("  nothing was made on any server")
            return EXIT_USAGE
        warn(f"  go on after it is repaired: vcompare compare --resume {request.run}")
        return EXIT_FAILED
    if trouble is not None:
        warn(f"  the blocks are kept; make the report with: vcompare report {request.run}")
        return EXIT_FAILED
    if incomplete is None or not outcome.state.measured:
        raise PlaybookError(
            "the playbook ended without an error, but no block was measured",
            f"the log is {outcome.log}",
        )
    return EXIT_INCOMPLETE if incomplete else EXIT_OK


def _report_run(folder: Path, quiet: bool) -> bool | None:
    """Make and sum up the report of a run.

    :returns: whether something was refused or failed; ``None`` when there is nothing to report yet.
    :raises VcompareError: the bundle is broken, or the report can't be written.
    """
    if not (folder / "manifest.json").exists() or not (folder / "blocks.jsonl").exists():
        return None
    # Late: these import scipy and matplotlib.
    from vcompare_runner.cli import summary
    from vcompare_runner.report import INDEX, build_report, write_report_of

    bundle = load_bundle(folder)
    if not bundle.blocks:
        return None
    index = folder / "report" / INDEX
    if not _is_newer(index, folder):
        index = write_report_of(bundle, folder / "report")
    report = build_report(bundle)
    if not quiet:
        say()
        show_table(["verdict", "tests", "claim"], summary.verdicts(report))
        for header, rows in (summary.headline(report), summary.plain(report)):
            if rows:
                say()
                show_table(header, rows)
        for line in summary.remarks(report):
            say(line)
    say(summary.location(index))
    return summary.incomplete(report)


def _is_newer(index: Path, folder: Path) -> bool:
    """Say whether the report is at least as new as everything that it is made of."""
    if not index.exists():
        return False
    sources = [
        folder / name for name in ("manifest.json", "blocks.jsonl", "samples.jsonl", "proofs.jsonl")
    ]
    newest = max(path.stat().st_mtime_ns for path in sources if path.exists())
    return index.stat().st_mtime_ns >= newest


def _say_failed(outcome: Outcome) -> None:
    from vcompare_runner.run.playbook import failure_lines

    stage = next((stage for stage in reversed(outcome.state.stages) if stage.failed), None)
    warn(f"vcompare: error: the playbook failed{f' in stage {stage.name}' if stage else ''}")
    for line in failure_lines(outcome):
        warn(f"  {line}")


def say_stopped(outcome: Outcome) -> None:
    stage = outcome.state.stages[-1].name if outcome.state.stages else "its beginning"
    warn(f"vcompare: interrupted in stage {stage}; Ansible and all that it ran were ended")
    if outcome.left:
        warn(f"  still running, and not ours to end: processes {', '.join(map(str, outcome.left))}")


def _say_interrupted(outcome: Outcome, request: plans.Request) -> None:
    say_stopped(outcome)
    done = outcome.state.done
    total = f" of {outcome.state.total}" if outcome.state.total else ""
    warn(
        f"  {done}{total} blocks are finished and kept; a block that was being measured will be "
        "measured again"
    )
    warn("  the lab's machines may still be running")
    lab = f" --lab {request.lab}" if request.lab != DEFAULT_LAB else ""
    warn(f"  see what there is:  vcompare lab status{lab}")
    warn(f"  go on:              vcompare compare --resume {request.run}")
    warn(f"  take the lab away:  vcompare lab down{lab}")
    warn(f"  log: {outcome.log}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _show_plan(
    plan: plans.Plan, project: Project, inventory: Inventory, home: Path, resumed: bool
) -> None:
    request = plan.request
    if resumed:
        done = homes.summarise_run(home / "runs" / request.run).blocks_done
        say(
            f"would go on with run {request.run} ({_count(done, 'block')} {'is' if done == 1 else 'are'} done)"
        )
    else:
        say("would measure (nothing was made):")
    show_table(["arm", "host"], [[arm, host] for arm, host in plan.compared])
    say()
    for label, value in _plan_facts(plan, project, inventory, home):
        say(f"{label + ':':<12}{value}")


def _plan_facts(
    plan: plans.Plan, project: Project, inventory: Inventory, home: Path
) -> list[tuple[str, str]]:
    request = plan.request
    instances = plan.blocks * len(plan.arms)
    more = at_least(plan.max_blocks > plan.blocks)
    facts = [
        (
            "profile",
            f"{plan.profile.name}: {plan.profile.description}"
            if plan.profile.description
            else plan.profile.name,
        ),
        ("scenarios", ", ".join(plan.scenarios)),
        (
            "blocks",
            f"{more}{plan.blocks} on each of {_count(len(plan.hosts), 'host')}: "
            f"{more}{_count(instances, 'fresh instance')}, bare twice in each block",
        ),
        *_stopping(plan),
        *turns.lines(plan, inventory),
        (
            "time",
            f"workloads alone at least {duration(plan.least_seconds)}; building and booting come "
            "on top",
        ),
        ("claims", ", ".join(("those of every run", *request.claims))),
        *([("systems", ", ".join(request.systems))] if request.systems else ()),
        ("seed", str(request.seed)),
        ("inventory", str(inventory.source)),
        ("home", str(home)),
    ]
    nodes = inventory.groups.get("lab_nodes", ())
    if nodes:
        place = [label for label, _value in facts].index("seed")
        facts.insert(place, ("lab", f"{request.lab}: {_lab_size(nodes, project, inventory)}"))
        facts.insert(place + 1, ("free now", _free(home)))
    return facts


def _stopping(plan: plans.Plan) -> list[tuple[str, str]]:
    """Say when a run without a fixed number of blocks ends."""
    if plan.max_blocks <= plan.blocks:
        return []
    budget_s = plan.request.budget_s
    limit = f"{plan.max_blocks} blocks"
    if budget_s is not None:
        limit = f"{duration(budget_s)} of measuring, or {limit}"
    elif plan.within_s:
        limit = f"{limit}, or before the command has taken {duration(plan.within_s)}"
    return [("ends", f"when every open claim's interval is narrow enough, or after {limit}")]


def _lab_size(nodes: t.Sequence[str], project: Project, inventory: Inventory) -> str:
    """Say what the nested nodes take, by the role's defaults and the inventory's variables."""
    defaults = project.read_data("roles", "nested_lab", "defaults", "main.yml")

    def total(name: str) -> int | None:
        values = [inventory.host_vars.get(node, {}).get(name, defaults.get(name)) for node in nodes]
        return sum(values) if all(isinstance(value, int) for value in values) else None

    memory, disk = total("nested_lab_memory_mib"), total("nested_lab_disk_mib")
    parts = [_count(len(nodes), "node")]
    parts += [f"{memory / 1024:.1f} GiB memory"] if memory else []
    parts += [f"up to {disk / 1024:.0f} GiB disk"] if disk else []
    return ", ".join(parts)


def _free(home: Path) -> str:
    place = home
    while not place.exists():
        place = place.parent
    words = [f"{shutil.disk_usage(place).free / 2**30:.0f} GiB disk in {place}"]
    try:
        meminfo = dict(
            line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines()
        )
        words.insert(0, f"{int(meminfo['MemAvailable'].split()[0]) / 2**20:.1f} GiB memory")
    except (OSError, KeyError, ValueError):
        pass
    return ", ".join(words)


def report(names: t.Sequence[str], output: Path | None) -> int:
    """Make a report again; of several runs, one."""
    from vcompare_runner.cli.summary import location
    from vcompare_runner.report import write_joined_report, write_report

    bundles = [homes.find_bundle(homes.find_home(), name) for name in names]
    if len(bundles) == 1:
        say(location(write_report(bundles[0], output)))
    elif output is None:
        raise UsageError(
            "a report of several runs belongs to none of their folders",
            "name a folder for it with --output",
        )
    else:
        say(location(write_joined_report(bundles, output)))
    return EXIT_OK


def runs(as_json: bool) -> int:
    """List the runs."""
    home = homes.find_home()
    summaries = [homes.summarise_run(folder) for folder in homes.run_folders(home)]
    if as_json:
        say(json.dumps([dataclasses.asdict(summary) for summary in summaries], indent=2))
        return EXIT_OK
    if not summaries:
        say(f"there are no runs in {home / 'runs'} yet; `vcompare compare` makes one")
        return EXIT_OK
    show_table(
        ["run", "when", "profile", "substrate", "blocks", "arms", "status"],
        [
            [
                summary.run,
                (summary.created_at or "–").replace("T", " ").split(".")[0],
                summary.profile or "–",
                ", ".join(summary.substrate) or "–",
                f"{summary.blocks_done}/{summary.blocks_planned}"
                if summary.blocks_planned
                else "–",
                ", ".join(summary.arms) or "–",
                summary.status,
            ]
            for summary in summaries
        ],
    )
    return EXIT_OK


def lab_play(
    playbook_name: str,
    lab: str,
    accel: str | None,
    inventory: Path | None,
    nodes: int | None = None,
    **more: t.Any,
) -> tuple[Outcome, int | None, tuple[str, ...]]:
    """Run one playbook of the lab.

    Return its outcome, an exit code when it did not do its work, and the hosts that carry the lab.

    :raises UsageError: the inventory can't be read, or has no such host; nothing was made.
    """
    plans.check_lab_name(lab)
    plans.check_accel(accel)
    plans.check_nodes(nodes)
    project = find_project()
    playbook = project.playbook(playbook_name)
    home = homes.find_home()
    homes.check_home(home)
    source = (inventory or project.default_inventory).absolute()
    extra_vars: dict[str, t.Any] = {"vcompare_home": str(home), "vcompare_lab": lab} | (
        {"vcompare_accel": accel} if accel else {}
    )
    if nodes is not None:
        extra_vars["vcompare_nodes"] = nodes
    extra_vars |= more
    servers = seen.lab_servers(
        list_inventory(source, project, extra_vars, home_environment(home)), project
    )
    # Not in the lab's folder: taking a lab away takes that folder too.
    log = new_log(homes.make_private(home / "logs"), f"{playbook.stem}-{lab}")
    outcome = play(playbook, project, source, extra_vars, log, RunState(), home)
    if outcome.interrupted:
        say_stopped(outcome)
        warn(f"  see what there is:  vcompare lab status --lab {lab}")
        warn(f"  log: {outcome.log}")
        return outcome, EXIT_INTERRUPTED, servers
    if not outcome.ok:
        _say_failed(outcome)
        return outcome, EXIT_FAILED, servers
    return outcome, None, servers


def lab_up(lab: str, accel: str | None, inventory: Path | None, nodes: int | None = None) -> int:
    """Bring a lab up, and provision it."""
    outcome, code, servers = lab_play("lab_ready.yml", lab, accel, inventory, nodes)
    if code is not None:
        return code
    seen.check_lab(outcome, UP_TASK, servers, lab, "running")
    say(f"the lab {lab} is up")
    return EXIT_OK


def lab_down(lab: str, inventory: Path | None) -> int:
    """Take a lab away."""
    outcome, code, servers = lab_play("lab_down.yml", lab, None, inventory)
    if code is not None:
        return code
    seen.check_lab(outcome, DOWN_TASK, servers, lab, "absent")
    say(f"the lab {lab} is gone")
    return EXIT_OK


# Names of the tasks whose results say what was done (docs/contracts.md).
UP_TASK = "lab: up"
DOWN_TASK = "lab: down"
_STATUS_TASK = "lab: status"


def lab_status(lab: str, as_json: bool, inventory: Path | None) -> int:
    """Show a lab as it is now."""
    outcome, code, servers = lab_play("lab_status.yml", lab, None, inventory)
    if code is not None:
        return code
    # With several lab servers, the first one has the lab: see the playbooks.
    status = seen.results(outcome, _STATUS_TASK, servers[:1])[servers[0]].get("lab")
    if not isinstance(status, dict) or status.get("name") != lab:
        raise PlaybookError(
            f"lab_status.yml did not say what the lab {lab} is", f"the log is {outcome.log}"
        )
    forget(outcome.log)
    if as_json:
        say(json.dumps(status, indent=2))
        return EXIT_OK
    for name in ("name", "state", "accel", "provisioned", "folder"):
        say(f"{name + ':':<13}{_word(status.get(name))}")
    nodes = status.get("nodes") or []
    if nodes:
        say()
        keys = ("name", "state", "address", "port")
        show_table(
            ["node", *keys[1:]],
            [[_word(node.get(key)) for key in keys] for node in nodes],
        )
    objects = status.get("objects") or []
    if objects:
        say()
        say("objects:")
        for item in objects:
            words = (
                [f"{key}={value}" for key, value in item.items()]
                if isinstance(item, dict)
                else [str(item)]
            )
            say(f"  {' '.join(words)}")
    return EXIT_OK


# Name of the task whose result is what was found (docs/contracts.md).
_DOCTOR_TASK = "lab: doctor"


def lab_doctor(fix: bool, as_json: bool, inventory: Path | None) -> int:
    """Show what is wrong with the lab server and the labs of the home; 1 where a problem is left."""
    outcome, code, servers = lab_play(
        "lab_doctor.yml", DEFAULT_LAB, None, inventory, vcompare_fix=fix
    )
    if code is not None:
        return code
    result = seen.results(outcome, _DOCTOR_TASK, servers[:1])[servers[0]]
    found = result.get("findings")
    if not isinstance(found, list):
        raise PlaybookError("lab_doctor.yml did not say what it found", f"the log is {outcome.log}")
    forget(outcome.log)
    problems = [finding for finding in found if finding["level"] == "problem"]
    if as_json:
        say(json.dumps({"findings": found, "repaired": result.get("repaired") or []}, indent=2))
        return EXIT_FAILED if problems else EXIT_OK
    for sentence in result.get("repaired") or []:
        say(sentence)
    for finding in found:
        say(f"{finding['level'] + ':':<9}{finding['check']}: {finding['what']}")
        if finding["remedy"] and finding["level"] != "ok":
            say(f"{'':<9}  {finding['remedy']}")
    repairable = sum(finding["repairable"] for finding in problems)
    say()
    say(
        f"{_count(len(problems), 'problem')}"
        + (f"; vcompare lab doctor --fix repairs {repairable}" if repairable else "")
    )
    return EXIT_FAILED if problems else EXIT_OK


def forget(log: Path) -> None:
    """Remove a log, which is worth keeping only where something went wrong."""
    log.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        log.parent.rmdir()


def _word(value: t.Any) -> str:
    if value is None or value == "":
        return "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
