# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a bundle's report on the controller, with vcompare_runner."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.vcompare.lab.plugins.plugin_utils import runner


class ActionModule(ActionBase):
    """Write a report."""

    # The host is not contacted.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the path of the report."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "bundle": {"type": "path", "required": True},
                "output": {"type": "path"},
            },
        )
        bundle = Path(arguments["bundle"])
        output = Path(arguments["output"]) if arguments["output"] else None
        try:
            write_report = runner.load("report").write_report
        except ImportError as error:
            raise AnsibleActionFail(
                f"the report of {bundle} can't be made: {error}. The bundle is whole without it: run the playbook"
                f" vcompare.lab.report with -e vcompare_run={bundle.name} then."
            ) from None
        if not (bundle / "manifest.json").is_file():
            raise AnsibleActionFail(f"{bundle} is not a bundle: it has no manifest.json")
        if self._task.check_mode:
            return {"changed": True, "path": str(output or bundle / "report")}
        try:
            path = write_report(bundle, output)
        except Exception as error:  # whatever is wrong with it, the user needs to know where it is
            raise AnsibleActionFail(f"the report of {bundle} can't be made: {error}") from None
        return {"changed": True, "path": str(path)}
