# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides on the controller whether a run needs another block; see the module's documentation."""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms
from ansible_collections.vcompare.lab.plugins.module_utils._contract import turns as parts
from ansible_collections.vcompare.lab.plugins.plugin_utils import runner, turns
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle

display = Display()

# Of a profile's time for the whole command, what the report and the stop of a lab take.
_TO_END_S = 45

Claims = list[dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class _Limits:
    """What ends a run: numbers of blocks, seconds of measuring, seconds of the whole command."""

    least: int
    most: int
    budget_s: float | None
    within_s: float | None

    def room_s(self, bundle: Bundle, began: float | None) -> float:
        """Return how many seconds are left; infinite without a limit."""
        room_s = float("inf")
        if self.budget_s is not None:
            room_s = self.budget_s - bundle.measuring_s()
        if self.within_s and began is not None:
            room_s = min(room_s, self.within_s - (time.time() - began) - _TO_END_S)
        return room_s


class ActionModule(ActionBase):
    """Decide whether there is another block."""

    # The host is not contacted.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return go_on, block, boot, until, stopped and what is open."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "bundle": {"type": "path", "required": True},
                "after": {"type": "int", "default": 0},
                "stopped": {
                    "type": "str",
                    "choices": ["", "blocks", "narrow", "budget"],
                    "default": "",
                },
                "began": {"type": "float"},
                "hosts": {"type": "list", "elements": "str", "default": []},
                "sharing": {"type": "dict", "default": {}},
                "boot": {"type": "str", "choices": list(parts.BOOTS), "default": arms.LINUX},
                "until": {"type": "int", "default": 0},
                "group": {"type": "int", "default": parts.GROUP_BLOCKS},
            },
        )
        after = arguments["after"]
        if arguments["stopped"]:
            return _end(after, arguments["stopped"])
        if arguments["group"] < 1:
            raise AnsibleActionFail(
                f"group: {arguments['group']} blocks are too few; give 1 or more"
            )
        bundle = Bundle(Path(arguments["bundle"]))
        limits = self._limits(bundle)
        if limits is None:
            # Nothing was opened, so there is nothing to go by: the first block shows it all.
            return _end(after, "blocks") if after else _go_on(1, [])
        if arguments["sharing"]:
            return _next_turn(bundle, limits, arguments)
        block = after + 1
        if block <= limits.least or (block <= limits.most and block in bundle.rounds()):
            return _go_on(block, [])
        ended, claims = _ended(bundle, limits, after)
        # What the latest took tells best: the first one reads everything for the first time.
        if ended is None and bundle.measuring_s(after) > limits.room_s(bundle, arguments["began"]):
            ended = {**_end(after, "budget"), "open": claims}
        return ended or _go_on(block, claims)

    def _limits(self, bundle: Bundle) -> _Limits | None:
        """Read them from the manifest; None in check mode without one."""
        try:
            manifest = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))
            profile = manifest["profile"]
            least = int(profile["blocks"])
            most = max(least, int(profile.get("max_blocks") or least))
            budget_s = profile.get("budget_s")
            within_s = profile.get("within_s") or None
            return _Limits(
                least,
                most,
                None if budget_s is None else float(budget_s),
                None if within_s is None else float(within_s),
            )
        except FileNotFoundError:
            if self._task.check_mode:
                return None
            raise AnsibleActionFail(f"{bundle.path} is not a bundle: open it first") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnsibleActionFail(f"{bundle.path}/manifest.json is broken: {error!r}") from None


def _next_turn(
    bundle: Bundle, limits: _Limits, arguments: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Decide where hosts take turns: the group is measured to its end in both systems, then there may be another."""
    boot = arguments["boot"]
    left = turns.Turns(bundle.rounds(), arguments["hosts"], arguments["sharing"])
    # What an interrupted session began is finished first, whatever its groups were.
    until = arguments["until"] or left.last_begun()
    if step := left.next_step(boot, until):
        return _go_on(step.block, [], step.boot, step.until)
    claims: Claims = []
    if until < limits.least:
        blocks = min(arguments["group"], limits.least - until)
    else:
        ended, claims = _ended(bundle, limits, until)
        if ended is not None:
            return ended
        blocks = turns.fitting(
            limits.room_s(bundle, arguments["began"]),
            bundle.measuring_s(until),
            bundle.turn_s(),
            boot,
            min(arguments["group"], limits.most - until),
        )
        if not blocks:
            return {**_end(until, "budget"), "open": claims}
    return _go_on(until + 1, claims, boot, until + blocks)


def _ended(bundle: Bundle, limits: _Limits, after: int) -> tuple[dict[str, t.Any] | None, Claims]:
    """Return why there is no other block than those that are there, apart from the time, and what is open."""
    if after >= limits.most:
        return _end(after, "blocks"), []
    claims, why_not = _open_claims(bundle.path)
    if claims is None and not limits.within_s:
        display.warning(f"No blocks beyond the least number of {limits.least}: {why_not}")
        return {**_end(after, "blocks"), "msg": why_not}, []
    if claims is not None and not claims:
        return _end(after, "narrow"), []
    return None, claims or []


def _go_on(
    block: int, claims: Claims, boot: str = arms.LINUX, until: int | None = None
) -> dict[str, t.Any]:
    return {
        "changed": False,
        "go_on": True,
        "block": block,
        "boot": boot,
        "until": until or block,
        "stopped": "",
        "open": claims,
    }


def _end(block: int, stopped: str) -> dict[str, t.Any]:
    return {
        "changed": False,
        "go_on": False,
        "block": block,
        "boot": arms.LINUX,
        "until": block,
        "stopped": stopped,
        "open": [],
    }


def _open_claims(path: Path) -> tuple[Claims | None, str]:
    """Return the claims that more blocks would help, or None and why that can't be told."""
    try:
        # Late: scipy takes a second, and a run of a fixed number of blocks never needs it.
        stopping = runner.load("analysis.stopping")
    except ImportError as error:
        return None, f"how wide intervals are can't be worked out: {error}"
    try:
        return [claim.as_dict() for claim in stopping.open_claims(path)], ""
    except Exception as error:  # whatever is wrong, what was measured is not to be lost by it
        return None, f"how wide intervals are can't be worked out: {error}"
