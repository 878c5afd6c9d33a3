# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows what the tasks before it did to a host, or in check mode would do."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vcompare.lab.plugins.plugin_utils import host_plan
from ansible_collections.vcompare.lab.plugins.plugin_utils.notice import notice


class ActionModule(ActionBase):
    """Nothing runs on the host: what tasks registered is on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return changed, plan and lines."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        steps, files = host_plan.collect(variables)
        # With --diff Ansible has shown the files at their tasks.
        shown = host_plan.lines(steps, {} if self._task.diff else files)
        host = variables.get("inventory_hostname")
        for line in shown:
            notice(f"{host}: {line}")
        return {"changed": False, "plan": steps, "lines": host_plan.lines(steps, files)}
