# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An application is built into an image by each arm's recipe: twice from nothing, and after a change of one line.

It is small, and needs no network: what is compared is what an arm adds to the same two steps, one for what rarely
changes and one for one's own files. Each image is started, and its application asked, before its build counts.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Sources, lines
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
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

NAME = "image-build"
BUILD = Metric(NAME, "build_time", "s", "lower", 0.001, 36000.0)
REBUILD = Metric(NAME, "rebuild_time", "s", "lower", 0.001, 36000.0)
LINES = Metric(NAME, "recipe_lines", "count", "lower", 1.0, 1000.0)
SAME = answer(NAME, "same_result_twice")

_BUILD_S = 300.0
_DIGEST_S = 120.0
# An index of the programs, by their content: something that takes a moment, and that nobody wants to do twice.
_INSTALL = """\
set -eu
mkdir -p /opt/answer
ls /usr/bin | sort -u > /opt/answer/programs
cat /usr/bin/*stat* /usr/bin/*sum | sha256sum > /opt/answer/sum
"""
_COMPILE = """\
set -eu
cd /usr/src/compiled
echo "programs=$(wc -l < /opt/answer/programs)" > counted.sh
{ echo '#!/bin/sh'; cat greeting.sh counted.sh main.sh; } > /opt/answer/answer
sh -n /opt/answer/answer
chmod 755 /opt/answer/answer
"""
_MAIN = """\
[ "$(wc -l < /opt/answer/programs)" -eq "$programs" ] || exit 1
echo "$greeting: $programs programs"
"""
# What it must answer, found without it.
_COUNT = ("/bin/sh", "-c", "ls /usr/bin | sort -u | wc -l")


def sources(greeting: str) -> Sources:
    """Return the application; the greeting is one line of it."""
    return Sources(
        {"install.sh": _INSTALL},
        {"compile.sh": _COMPILE, "greeting.sh": f"greeting='{greeting}'\n", "main.sh": _MAIN},
    )


def built(stage: Stage) -> t.Iterator[Figure]:
    """Build twice from nothing, and once more after a change."""
    builder = stage.backend.builder(stage.spec)
    said = lines(builder.recipe)
    programs = replied(stage.run(_COUNT, 60.0), "counting the programs").strip()
    took, digests = {}, {}
    for tag, greeting, clean in (
        ("first", "one", True),
        ("second", "one", True),
        ("changed", "another", False),
    ):
        # What the build before has left to be written must not be in this one's time: a control domain of 1 GiB took
        # 150 s for the third, and 9 s for each of the first two.
        os.sync()
        began = time.monotonic()
        builder.build(tag, sources(greeting), clean=clean, timeout_s=_BUILD_S * stage.factor)
        took[tag] = time.monotonic() - began
        spec = stage.another("built", **builder.changes(tag))
        stage.fresh(spec)
        answered = replied(
            stage.run(["/opt/answer/answer"], 60.0, name=spec.name), "asking what was built"
        ).strip()
        if answered != f"{greeting}: {programs} programs":
            raise BackendError(
                f"what was built ({tag}) answers {answered!r}, and not {greeting!r} with {programs}"
            )
        if clean:
            digest = stage.run(["/usr/lib/vcompare/digest"], _DIGEST_S, name=spec.name)
            digests[tag] = replied(digest, "making the digest of what was built").strip()
        stage.gone(spec)
    yield Figure(LINES, said, f"the lines of:\n{builder.recipe}")
    clean_s = (took["first"] + took["second"]) / 2
    yield Figure(BUILD, clean_s, f"{took['first']:.3f} s, and again {took['second']:.3f} s")
    yield Figure(REBUILD, took["changed"], f"after one line changed {took['changed']:.3f} s")
    yield Figure(
        SAME, float(digests["first"] == digests["second"]), f"all files, as seen inside: {digests}"
    )


EXPERIMENT = Experiment(NAME, (Step(LATER, (BUILD, REBUILD, LINES, SAME), built, company=True),))
