# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides on the controller whether a run needs another block; see the module's documentation."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.vcompare.lab.plugins.plugin_utils import runner
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle

display = Display()

# Of a profile's time for the whole command, what the report and the stop of a lab take.
_TO_END_S = 45

Claims = list[dict[str, t.Any]]


class ActionModule(ActionBase):
    """Decide whether there is another block."""

    # The host is not contacted.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return go_on, block, stopped and what is open."""
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
            },
        )
        after = arguments["after"]
        if arguments["stopped"]:
            return _end(after, arguments["stopped"])
        bundle = Bundle(Path(arguments["bundle"]))
        try:
            manifest = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))
            profile = manifest["profile"]
            least = int(profile["blocks"])
            most = max(least, int(profile.get("max_blocks") or least))
            budget_s = profile.get("budget_s")
            within_s = profile.get("within_s") or None
        except FileNotFoundError:
            if self._task.check_mode:
                # Nothing was opened, so there is nothing to go by: the first block shows it all.
                return _end(after, "blocks") if after else _go_on(1, [])
            raise AnsibleActionFail(f"{bundle.path} is no bundle: open it first") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnsibleActionFail(f"{bundle.path}/manifest.json is broken: {error!r}") from None
        block = after + 1
        rounds = bundle.rounds()
        if block <= least or (block <= most and block in rounds):
            return _go_on(block, [])
        if block > most:
            return _end(after, "blocks")
        claims, why_not = _open_claims(bundle.path)
        if claims is None and not within_s:
            display.warning(f"No blocks beyond the least number of {least}: {why_not}")
            return {**_end(after, "blocks"), "msg": why_not}
        if claims is not None and not claims:
            return _end(after, "narrow")
        # A block that would not come to its end in time is not begun. What the latest took tells best: the first one
        # reads everything for the first time.
        another_s = bundle.measuring_s(after)
        late = budget_s is not None and bundle.measuring_s() + another_s > float(budget_s)
        if within_s and arguments["began"] is not None:
            elapsed_s = time.time() - arguments["began"]
            late = late or elapsed_s + another_s + _TO_END_S > float(within_s)
        if late:
            return {**_end(after, "budget"), "open": claims or []}
        return _go_on(block, claims or [])


def _go_on(block: int, claims: Claims) -> dict[str, t.Any]:
    return {"changed": False, "go_on": True, "block": block, "stopped": "", "open": claims}


def _end(block: int, stopped: str) -> dict[str, t.Any]:
    return {"changed": False, "go_on": False, "block": block, "stopped": stopped, "open": []}


def _open_claims(path: Path) -> tuple[Claims | None, str]:
    """Return the claims that more blocks would help, or None and why that can't be told."""
    try:
        # Late: scipy takes a second, and a run of a fixed number of blocks never needs it.
        stopping = runner.load("stopping")
    except ImportError as error:
        return None, f"how wide intervals are can't be worked out: {error}"
    try:
        return [claim.as_dict() for claim in stopping.open_claims(path)], ""
    except Exception as error:  # whatever is wrong, what was measured is not to be lost by it
        return None, f"how wide intervals are can't be worked out: {error}"
