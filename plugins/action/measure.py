# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of measuring a block: its order, and its samples into the bundle."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.vcompare.lab.plugins.module_utils.order import order_of
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle, BundleError

# What the controller itself reads; all the rest is the module's to check.
_SPEC: dict[str, t.Any] = {
    "bundle": {"type": "path", "required": True},
    "run": {"type": "str", "required": True},
    "seed": {"type": "int", "required": True},
    "block": {"type": "int", "required": True},
    "blocks": {"type": "int", "required": True},
    "arms": {"type": "list", "elements": "str", "required": True},
    "full_digest": {"type": "bool"},
}


class ActionModule(ActionBase):
    """Measure one block on one host, once."""

    # Nothing is copied before the module: a finished block costs no connection.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the short result of docs/contracts.md."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = str(task_vars["inventory_hostname"])
        mine = self._own_arguments()
        bundle, block = Bundle(Path(mine["bundle"])), mine["block"]
        short = {"block": block, "blocks": mine["blocks"], "host": host}
        done = bundle.finished(block, host)
        if done is not None:
            return {**short, "changed": False, "arms": done["arms"], "samples": 0, "skipped": True}
        try:
            order = order_of(mine["arms"], mine["seed"], host, block)
        except ValueError as error:
            raise AnsibleActionFail(f"block {block} of {host} can't be ordered: {error}") from None
        full = mine["full_digest"] if mine["full_digest"] is not None else block == 1
        arguments = {**self._task.args, "host": host, "arms": order, "full_digest": full}
        began = time.monotonic()
        # A lost connection is raised from here: nothing is written then, and the next run resumes.
        result = self._execute_module(
            module_name="vcompare.lab.measure", module_args=arguments, task_vars=task_vars
        )
        elapsed = time.monotonic() - began
        if result.get("failed"):
            if not self._task.check_mode:
                bundle.note({"event": "failed", **short, "reason": result.get("msg")})
            return {**result, **short, "changed": False, "skipped": False}
        if self._task.check_mode:
            return {**result, **short}
        try:
            count = bundle.append(result["measured"], elapsed)
        except (BundleError, OSError, ValueError) as error:
            raise AnsibleActionFail(
                f"block {block} of {host} was measured, and can't be kept in {bundle.path}: {error}"
            ) from error
        return {
            **short,
            "changed": True,
            "arms": result["measured"]["arms"],
            "samples": count,
            "skipped": False,
        }

    def _own_arguments(self) -> dict[str, t.Any]:
        given = {key: value for key, value in self._task.args.items() if key in _SPEC}
        checked = ArgumentSpecValidator(_SPEC).validate(given)
        if checked.error_messages:
            raise AnsibleActionFail("measure: " + "; ".join(checked.error_messages))
        return t.cast("dict[str, t.Any]", checked.validated_parameters)
