# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A state that is kept in versions: what each costs, and whether an earlier one, or one that was moved, is the same.

The state is one file of some MiB, written anew for each version: with Docker into a container's own layer, in virtual
machines onto a second disk whose layers are files on each other (the root file system is read-only in every arm).
"""

from __future__ import annotations

import statistics
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Versions
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "image-history"
BYTES = Metric(NAME, "bytes_per_commit", "B", "lower", 1.0, 1e12)
TIME = Metric(NAME, "commit_time", "s", "lower", 0.0001, 3600.0)
LISTED = answer(NAME, "history_listed")
BACK = answer(NAME, "rolled_back")
ELSEWHERE = answer(NAME, "same_digest_elsewhere")

VERSIONS = ("v1", "v2", "v3")
STATE_BYTES = 4 << 20
_KEEP_S = 120.0
_MOVE_S = 300.0


def written(place: str, version: str) -> str:
    """Return a shell script that writes a version's state, which hardly compresses, and prints its digest."""
    file = f"{place}/state"
    # The same programs are in every arm; a line before them makes every block another one.
    content = f"{{ echo {version}; cat /usr/bin/*; }} 2>/dev/null | head -c {STATE_BYTES}"
    return f"{content} > {file} && sync && sha256sum < {file}"


def read(place: str) -> str:
    """Return a shell script that prints which version's state there is, and its digest."""
    return f"head -n 1 {place}/state && sha256sum < {place}/state"


def in_order(said: t.Sequence[str]) -> bool:
    """Say whether a history, the latest first, has all versions, each once and in their order."""
    named = [each.partition(":")[0] for each in said]
    return [each for each in named if each in VERSIONS] == list(reversed(VERSIONS))


def kept(stage: Stage) -> t.Iterator[Figure]:
    """Keep three versions of a state, list them, go back to the first, and move the last."""
    versions = stage.backend.versions(stage.spec, VERSIONS)
    took, digests = [], {}
    spec = None
    for version, before in zip(VERSIONS, ("", *VERSIONS), strict=False):
        if spec is None:
            spec = _standing_on(stage, versions, before)
        said = _shell(stage, spec, written(versions.place, version), f"writing {version}")
        digests[version] = said.split()[0]
        began = time.monotonic()
        versions.keep(spec.name, version, _KEEP_S * stage.factor)
        took.append(time.monotonic() - began)
        if not versions.goes_on:
            stage.gone(spec)
            spec = None
    yield Figure(TIME, statistics.median(took), f"each took {_words(took)} s")
    if spec is not None:
        stage.gone(spec)
    sizes = [versions.size(version) for version in VERSIONS]
    yield Figure(
        BYTES,
        statistics.median(sizes),
        f"each takes {_words(sizes)} B for {STATE_BYTES} B of state",
    )
    history = versions.listed(VERSIONS[-1])
    yield Figure(LISTED, float(in_order(history)), f"the latest first: {history!r}")
    yield _rolled_back(stage, versions, digests)
    before, after = versions.moved(VERSIONS[-1], _MOVE_S * stage.factor)
    yield Figure(
        ELSEWHERE, float(before == after), f"before it was moved {before}, and after {after}"
    )


def _rolled_back(stage: Stage, versions: Versions, digests: t.Mapping[str, str]) -> Figure:
    first = VERSIONS[0]
    spec = _standing_on(stage, versions, first)
    there, digest = _shell(stage, spec, read(versions.place), "reading the state").split()[:2]
    stage.gone(spec)
    same = (there, digest) == (first, digests[first]) and digest != digests[VERSIONS[-1]]
    return Figure(BACK, float(same), f"the state is {there} {digest}; written were {digests}")


def _standing_on(stage: Stage, versions: Versions, version: str) -> InstanceSpec:
    spec = stage.another("state", **versions.changes(version))
    stage.fresh(spec)
    _shell(stage, spec, versions.begin, "making its place ready")
    return spec


def _shell(stage: Stage, spec: InstanceSpec, script: str, what: str) -> str:
    return replied(stage.run(["/bin/sh", "-c", script], 120.0, name=spec.name), what)


def _words(values: t.Iterable[float]) -> str:
    return ", ".join(f"{value:.9g}" for value in values)


EXPERIMENT = Experiment(
    NAME, (Step(LATER, (BYTES, TIME, LISTED, BACK, ELSEWHERE), kept, company=True),)
)
