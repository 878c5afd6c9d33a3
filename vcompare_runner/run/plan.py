# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What ``vcompare compare`` is asked for, checked before anything is made."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import typing as t
from pathlib import Path

import pydantic

from vcompare_runner._contract import durations
from vcompare_runner._contract.arms import AGAIN, ARMS, BARE, PLANTED
from vcompare_runner._contract.scenarios import EXPERIMENTS
from vcompare_runner.bundle.read import read_manifest
from vcompare_runner.core import edges
from vcompare_runner.core.errors import BundleError, UsageError
from vcompare_runner.core.names import (
    ACCELERATIONS,
    ALLOWED,
    DEFAULT_LAB,
    NODES,
    compared,
    did_you_mean,
)
from vcompare_runner.run.inventory import Inventory
from vcompare_runner.run.project import Project
from vcompare_runner.verdict.declared import check_files, shipped

LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
# Beside the logs: it belongs to this controller, not to the record of the run.
REQUEST_FILE = Path("events", "request.json")


@dataclasses.dataclass(frozen=True)
class Profile:
    """A profile as the collection has it.

    :param blocks: the least number of them; ``max_blocks`` is the greatest.
    :param seconds: how long one iteration of a workload runs.
    :param fixed_work: scenarios that do a fixed amount of work instead.
    :param arms: what it measures where nobody names any; empty: all that there is.
    :param within_s: time for the whole command: with it, no block above the least number is begun
        that would end too late; 0 for no limit.
    """

    name: str
    description: str
    blocks: int
    max_blocks: int
    iterations: int
    seconds: float
    scenarios: tuple[str, ...]
    fixed_work: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    within_s: int = 0


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for. ``None`` and empty mean: as the profile and the inventory have it.

    :param seed: always set, so that the run can be repeated.
    :param claims: absolute paths of the user's files of claims.
    :param systems: absolute paths of the user's catalogues of systems.
    :param blocks: exactly so many; with a budget, so many at least.
    :param nodes: how many nodes the nested lab shall have.
    :param budget_s: measure until every open claim is narrow enough, or until this time is up.
    """

    # A field that this version does not know would be lost without a word.
    __pydantic_config__: t.ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")

    run: str
    lab: str
    profile: str
    seed: edges.Whole
    arms: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    blocks: edges.Block | None = None
    claims: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    accel: str | None = None
    inventory: str | None = None
    budget_s: edges.Whole | None = None
    nodes: edges.Whole | None = None

    def extra_vars(self, home: Path, keep_running: bool) -> dict[str, t.Any]:
        """Return the variables that the playbooks take (docs/contracts.md, "Inventory")."""
        variables: dict[str, t.Any] = {
            "vcompare_home": str(home),
            "vcompare_lab": self.lab,
            "vcompare_run": self.run,
            "vcompare_profile": self.profile,
            "vcompare_seed": self.seed,
        }
        if self.arms:
            variables["vcompare_arms"] = list(self.arms)
        if self.scenarios:
            variables["vcompare_scenarios"] = list(self.scenarios)
        if self.blocks is not None:
            variables["vcompare_blocks"] = self.blocks
        if self.claims:
            variables["vcompare_claims"] = list(self.claims)
        if self.systems:
            variables["vcompare_systems"] = list(self.systems)
        if self.budget_s is not None:
            variables["vcompare_budget"] = self.budget_s
        if self.accel is not None:
            variables["vcompare_accel"] = self.accel
        if self.nodes is not None:
            variables["vcompare_nodes"] = self.nodes
        if keep_running:
            variables["vcompare_keep_running"] = True
        return variables


_REQUESTS = pydantic.TypeAdapter(Request)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done: for ``--dry-run``, and for knowing how far a run is.

    :param blocks: the least number of blocks; there are more, up to ``max_blocks``, while an open
        claim's interval is too wide and there is time.
    """

    request: Request
    profile: Profile
    arms: tuple[tuple[str, str], ...]
    scenarios: tuple[str, ...]
    blocks: int
    max_blocks: int

    @property
    def within_s(self) -> int:
        """Time for the whole command, or 0: whoever asks for blocks or a budget has that instead."""
        asked = self.request.blocks is not None or self.request.budget_s is not None
        return 0 if asked else self.profile.within_s

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The arms that are compared, each with its host."""
        return [(arm, host) for arm, host in self.arms if arm != AGAIN]

    @property
    def hosts(self) -> list[str]:
        """The hosts that are measured."""
        return list(dict.fromkeys(host for _arm, host in self.arms))

    @property
    def least_seconds(self) -> float:
        """Seconds that the workloads alone take: the iterations that run for a fixed time."""
        untimed = {"startup", *EXPERIMENTS, *self.profile.fixed_work}
        timed = sum(scenario not in untimed for scenario in self.scenarios)
        return self.blocks * len(self.arms) * timed * self.profile.iterations * self.profile.seconds


def split_words(values: t.Iterable[str] | None) -> tuple[str, ...]:
    """Take apart an option that may be given several times, each time with several words."""
    words = [word.strip() for value in values or () for word in value.split(",")]
    return tuple(dict.fromkeys(word for word in words if word))


def check_words(option: str, words: t.Iterable[str], known: t.Collection[str]) -> None:
    """Check that all words are known.

    :raises UsageError: one is not; the message names the option, a near word, and all that are
        known.
    """
    for word in words:
        if word not in known:
            guess = did_you_mean(word, known)
            remedy = " ".join(part for part in (guess, f"known: {', '.join(known)}") if part)
            raise UsageError(f"{option}: '{word}' is unknown", remedy)


def _named_claims(given: t.Iterable[Path]) -> tuple[tuple[str, ...], list[Path]]:
    """Tell the claims that every run is judged by, by their ids, from files with a user's own.

    :raises UsageError: a word is neither.
    """
    known = [claim.id for claim in shipped().claims]
    named: list[str] = []
    files: list[Path] = []
    for value in given:
        words = split_words([str(value)])
        if words and all(word in known for word in words):
            named += words
        elif value.exists() or value.suffix or value.is_absolute() or "/" in str(value):
            files.append(value.absolute())
        else:
            check_words("--claims", words, known)
    return tuple(dict.fromkeys(named)), files


def scenarios_of(claims: t.Collection[str]) -> tuple[str, ...]:
    """Return the scenarios that the tests of these claims need, in the order of the catalogue."""
    return tuple(
        dict.fromkeys(
            test.scenario
            for claim in shipped().claims
            if claim.id in claims
            for test in claim.tests
        )
    )


def check_lab_name(name: str) -> str:
    """Check the name of a lab.

    :raises UsageError: it has characters that it must not have: it becomes part of file and domain
        names.
    """
    if not LAB_NAME.fullmatch(name):
        raise UsageError(
            f"--lab: '{name}' is not a name for a lab",
            "begin with a small letter; then up to 19 small letters, digits and hyphens",
        )
    return name


def check_accel(accel: str | None) -> str | None:
    """Check an acceleration.

    :raises UsageError: it is unknown.
    """
    if accel is not None:
        check_words("--accel", [accel], ACCELERATIONS)
    return accel


def check_nodes(nodes: int | None) -> int | None:
    """Check a number of nodes.

    :raises UsageError: no lab can have so many.
    """
    if nodes is not None and nodes not in NODES:
        raise UsageError(
            f"--nodes: a lab of {nodes} nodes can't be made",
            "take 1 (lab-linux, in plain Linux and in Xen in turns where --arms names an arm of Xen), 2 (lab-linux and "
            "lab-xen), 3 (with lab-linux-2, a second host of Docker and KVM) or 4 (with lab-xen-2, a second host "
            "of Xen, too)",
        )
    return nodes


def check_allowed(words: t.Iterable[str]) -> list[str]:
    """Check what may interrupt a server.

    :raises UsageError: a word is unknown.
    """
    allowed = split_words(words)
    check_words("--allow", allowed, ALLOWED)
    return list(allowed)


def read_profiles(project: Project) -> dict[str, Profile]:
    """Read the profiles of the collection."""
    parts = ("roles", "measure", "vars", "profiles.yml")
    profiles = {}
    for name, entry in (project.read_data(*parts).get("measure_profiles") or {}).items():
        try:
            profiles[name] = Profile(
                name=name,
                description=str(entry.get("description", "")),
                blocks=int(entry["blocks"]),
                max_blocks=int(entry.get("max_blocks", entry["blocks"])),
                iterations=int(entry.get("iterations", 1)),
                seconds=float(entry.get("seconds", 0)),
                scenarios=tuple(entry["scenarios"]),
                fixed_work=tuple(entry.get("loops") or ()),
                arms=tuple(entry.get("arms") or ()),
                within_s=int(entry.get("within_s", 0)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            path = project.root.joinpath(*parts)
            raise UsageError(
                f"{path}: profile '{name}' is broken: {error!r}", "it needs blocks and scenarios"
            ) from error
    return profiles


def _catalogue(option: str, path: Path) -> Path:
    """Return the path of a catalogue of systems; the collection checks what each of them says."""
    path = edges.require_file(option, edges.expanded(option, path))
    try:
        entries = edges.read_yaml(path)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("it is not a list of systems")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{option}: {path} can't be read: {error}", "docs/systems.yml is one"
        ) from None
    return path


def new_request(
    run: str,
    lab: str,
    profile: str,
    seed: int | None,
    arms: t.Iterable[str] | None,
    scenarios: t.Iterable[str] | None,
    blocks: int | None,
    accel: str | None,
    inventory: Path | None,
    claims: t.Sequence[Path] | None = None,
    budget: str | None = None,
    nodes: int | None = None,
    systems: t.Sequence[Path] | None = None,
) -> Request:
    """Check what was asked for, as far as it can be without looking at the collection.

    :raises UsageError: an option is wrong.
    """
    check_lab_name(lab)
    # Bare's second measurement comes with bare; whoever names it asks for nothing else.
    words = tuple(compared(split_words(arms)))
    check_words("--arms", words, (*ARMS, PLANTED))
    if words and BARE not in words:
        raise UsageError(
            "--arms: 'bare' is missing",
            f"every arm is compared with it: --arms bare,{','.join(words)}",
        )
    if blocks is not None:
        edges.require_whole("--blocks", blocks, 1, edges.MOST_BLOCKS)
    if seed is not None:
        edges.require_whole("--seed", seed, 0)
    named, files = _named_claims(claims or ())
    try:
        check_files(files)
    except UsageError as error:
        raise UsageError(f"--claims: {error.message}", error.remedy) from error
    return Request(
        run=run,
        lab=lab,
        profile=profile,
        # Small enough for every tool on the way to keep it exactly.
        seed=secrets.randbelow(2**31) if seed is None else seed,
        arms=words,
        scenarios=tuple(dict.fromkeys((*split_words(scenarios), *scenarios_of(named)))),
        blocks=blocks,
        claims=tuple(str(path) for path in files),
        systems=tuple(str(_catalogue("--systems", path)) for path in systems or ()),
        accel=check_accel(accel),
        inventory=str(inventory) if inventory else None,
        budget_s=None if budget is None else _budget_s(budget),
        nodes=check_nodes(nodes),
    )


def make_plan(request: Request, project: Project, inventory: Inventory) -> Plan:
    """Work out what a request means with this collection and this inventory.

    :raises UsageError: a profile or scenario is unknown, or no host carries an arm that was asked
        for.
    """
    profiles = read_profiles(project)
    check_words("--profile", [request.profile], profiles)
    profile = profiles[request.profile]
    # As the role `measure` works it out, too.
    wanted = request.arms or profile.arms or ARMS
    # What can be measured is what any profile measures: the largest one has everything.
    known = tuple(
        dict.fromkeys(scenario for each in profiles.values() for scenario in each.scenarios)
    )
    check_words("--scenarios", request.scenarios, known)
    carried = inventory.arms
    for arm in request.arms:
        if arm not in {name for name, _host in carried}:
            raise UsageError(
                f"--arms: no host of {inventory.source} carries {arm}",
                f"leave it out, or put a host into the group {_group_of(arm)}",
            )
    if BARE not in {name for name, _host in carried}:
        raise UsageError(
            f"--inventory: no host of {inventory.source} carries bare, which every arm is "
            "compared with",
            "put a host into the group bare_hosts",
        )
    return Plan(
        request=request,
        profile=profile,
        # Of the arms, bare is among those that were asked for: see `new_request`.
        arms=tuple(pair for pair in carried if pair[0] in {*wanted, AGAIN}),
        scenarios=request.scenarios or profile.scenarios,
        blocks=request.blocks or profile.blocks,
        max_blocks=_max_blocks(request, profile),
    )


# With a budget the time is what ends a run; this many blocks end one whose budget was a slip.
BUDGET_MAX_BLOCKS = 200


def _max_blocks(request: Request, profile: Profile) -> int:
    """Return the greatest number of blocks, as the role ``measure`` works it out."""
    least = request.blocks or profile.blocks
    if request.budget_s is not None:
        return max(least, BUDGET_MAX_BLOCKS)
    return least if request.blocks else max(least, profile.max_blocks)


def _budget_s(text: str) -> int:
    try:
        return durations.parse(text)
    except ValueError as error:
        raise UsageError(f"--budget: {error}", durations.REMEDY) from None


def _group_of(arm: str) -> str:
    from vcompare_runner._contract.arms import ARMS_OF_GROUP

    return next(group for group, arms in ARMS_OF_GROUP.items() if arm in arms)


def save_request(request: Request, folder: Path) -> None:
    """Keep a request beside the logs of its run, for resuming."""
    with edges.replacing(folder / REQUEST_FILE, edges.HOME_REMEDY) as file:
        file.write(json.dumps(dataclasses.asdict(request), indent=1) + "\n")


def load_request(folder: Path) -> Request:
    """Return what a run was asked for.

    From this controller's note, else from the manifest: a run that AWX began has no note here.

    :raises UsageError: neither is there.
    """
    path = folder / REQUEST_FILE
    if edges.is_there(path):
        try:
            request = _REQUESTS.validate_json(edges.read_bytes(path))
            check_lab_name(request.lab)
            return request
        except (OSError, ValueError, UsageError) as error:
            why = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise UsageError(f"--resume: {path} is broken: {why}", "begin a new run") from error
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        raise UsageError(f"--resume: {error.message}", "begin a new run") from error
    return Request(
        run=manifest.run,
        lab=manifest.lab.name or DEFAULT_LAB,
        profile=manifest.profile.name,
        seed=manifest.seed,
        arms=tuple(compared(dict.fromkeys(plan.arm for plan in manifest.arms if plan.planned))),
        scenarios=tuple(manifest.profile.scenarios),
        # The profile's own least number is not given again: given, it would be the only one.
        blocks=manifest.profile.blocks
        if manifest.profile.budget_s
        or manifest.profile.max_blocks in (None, manifest.profile.blocks)
        else None,
        budget_s=int(manifest.profile.budget_s) if manifest.profile.budget_s else None,
        accel=manifest.lab.acceleration.accel if manifest.lab.acceleration else None,
        # Xen's arms on the same node as the others.
        nodes=1 if manifest.lab.nested and any(plan.machine for plan in manifest.arms) else None,
    )
