# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Opens and closes the bundle of a run, on the controller; nothing is asked of the host."""

from __future__ import annotations

import json
import platform
import re
import time
import typing as t
from pathlib import Path

import ansible.release
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.vcompare.lab.plugins.module_utils._contract import durations
from ansible_collections.vcompare.lab.plugins.module_utils._contract import turns as parts
from ansible_collections.vcompare.lab.plugins.module_utils._contract.ids import new_run_id
from ansible_collections.vcompare.lab.plugins.plugin_utils import turns
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import (
    Bundle,
    BundleError,
)
from ansible_collections.vcompare.lab.plugins.plugin_utils.claims import (
    ClaimsError,
    declare,
    undeclared,
)

# A run's name becomes a folder and part of the names of instances.
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class ActionModule(ActionBase):
    """Open or close a bundle."""

    # The host is not contacted.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return run, path, seed and whether it was resumed."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "home": {"type": "path", "required": True},
                "run": {"type": "str"},
                "state": {
                    "type": "str",
                    "choices": ["open", "turned", "closed"],
                    "default": "open",
                },
                "turn": {"type": "dict"},
                "profile": {"type": "dict"},
                "budget": {"type": "str"},
                "stopped": {"type": "str", "choices": ["", "blocks", "narrow", "budget"]},
                "seed": {"type": "int"},
                "hosts": {"type": "dict"},
                "lab": {"type": "dict"},
                "image": {"type": "dict"},
                "instance": {"type": "dict"},
                "claims": {"type": "list", "elements": "dict"},
            },
            required_if=[
                ("state", "closed", ["run"]),
                ("state", "turned", ["run", "turn"]),
                ("state", "open", ["profile", "hosts", "lab", "image", "instance"]),
            ],
        )
        run = arguments["run"] or new_run_id()
        if not _RUN.match(run):
            raise AnsibleActionFail(
                f"{run!r} can't be the name of a run: use letters, digits and . _ -, up to 64"
            )
        bundle = Bundle(Path(arguments["home"]) / "runs" / run)
        try:
            if arguments["state"] == "closed":
                return self._close(bundle, arguments["stopped"] or None)
            if arguments["state"] == "turned":
                return self._turned(bundle, arguments["turn"])
            return self._open(bundle, run, arguments)
        except (BundleError, ClaimsError, OSError) as error:
            raise AnsibleActionFail(str(error)) from None

    def _open(self, bundle: Bundle, run: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        if arguments["seed"] is not None and arguments["seed"] < 0:
            raise AnsibleActionFail(f"a seed is not negative: {arguments['seed']}")
        # Also in check mode: what is wrong with them is said before anything is made.
        declared = declare(catalogues) if (catalogues := arguments["claims"]) else None
        try:
            budget_s = durations.budget(arguments["budget"])
        except ValueError as error:
            raise AnsibleActionFail(f"vcompare_budget: {error}; {durations.REMEDY}.") from None
        profile = dict(arguments["profile"])
        if budget_s is not None:
            profile["budget_s"] = budget_s
        if self._task.check_mode:
            there = (bundle.path / "manifest.json").exists()
            return {
                "changed": not there,
                "run": run,
                "path": str(bundle.path),
                "seed": arguments["seed"] or 0,
                "resumed": there,
            }
        manifest, resumed = bundle.open(
            {
                "run": run,
                "profile": profile,
                "seed": arguments["seed"],
                "arms": planned_arms(arguments["hosts"]),
                "lab": arguments["lab"],
                "image": arguments["image"],
                "instance": arguments["instance"],
                **({"claims": declared} if declared else {}),
                "versions": versions(),
            }
        )
        if resumed and (late := undeclared(manifest.get("claims"), catalogues or [])):
            raise AnsibleActionFail(
                f"the run {run} can't be resumed with other claims than it began with "
                f"({', '.join(late)}): what it is judged by was declared before its first sample. "
                "Leave them out, or begin a new run."
            )
        for host, each in arguments["hosts"].items():
            if each.get("facts"):
                bundle.write_facts(host, each["facts"])
        return {
            "changed": not resumed,
            "run": run,
            "path": str(bundle.path),
            "seed": manifest["seed"],
            "resumed": resumed,
        }

    def _turned(self, bundle: Bundle, turn: dict[str, t.Any]) -> dict[str, t.Any]:
        """Record a boot of a host into its other system, and what it is there."""
        try:
            host, boot, began = str(turn["host"]), str(turn["boot"]), float(turn["began"])
        except (KeyError, ValueError) as error:
            raise AnsibleActionFail(
                f"bundle: turn: it needs host, boot, began: {error!r}"
            ) from None
        if boot not in parts.BOOTS:
            raise AnsibleActionFail(
                f"bundle: turn: boot is one of {', '.join(parts.BOOTS)}, not {boot}"
            )
        elapsed_s = round(time.time() - began, 3)
        result = {"run": bundle.path.name, "path": str(bundle.path), "elapsed_s": elapsed_s}
        if not self._task.check_mode:
            if turn.get("facts"):
                bundle.write_facts(parts.part_name(host, boot), turn["facts"])
            reason = turn.get("reason") or None
            bundle.turned(
                {
                    "host": host,
                    "boot": boot,
                    "began_at_s": round(began, 3),
                    "elapsed_s": elapsed_s,
                    "reason": reason,
                }
            )
        return {**result, "changed": True}

    def _close(self, bundle: Bundle, stopped: str | None) -> dict[str, t.Any]:
        if not bundle.path.is_dir():
            raise AnsibleActionFail(f"there is no bundle {bundle.path}")
        result = {"run": bundle.path.name, "path": str(bundle.path)}
        if self._task.check_mode:
            return {**result, "changed": True, "finished_at": None, "missing": []}
        manifest, missing = bundle.close(stopped)
        return {
            **result,
            "changed": not missing,
            "finished_at": manifest["finished_at"],
            "missing": missing,
        }


def planned_arms(hosts: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """List the arms of all hosts, as the manifest has them."""
    try:
        return [
            {
                "arm": arm,
                "host": host,
                "substrate": each["substrate"],
                "planned": bool(each["planned"]) and arm not in unsupported,
                "reason": unsupported.get(arm) or each.get("reason") or None,
                **(_part(host, arm) if each.get("boots") else {}),
            }
            for host, each in hosts.items()
            for unsupported in [each.get("unsupported") or {}]
            for arm in [*each["arms"], *unsupported]
        ]
    except (KeyError, TypeError) as error:
        raise AnsibleActionFail(
            f"bundle: hosts: each needs arms, substrate, planned: {error!r}"
        ) from None


def _part(host: str, arm: str) -> dict[str, str]:
    """Return under which name an arm of a host that takes turns is measured, and in which system."""
    boot = turns.boot_of(arm)
    return {"host": parts.part_name(host, boot), "machine": host, "boot": boot}


def versions() -> dict[str, str]:
    """The versions of what runs on the controller."""
    return {
        "vcompare": _collection_version(),
        "ansible_core": ansible.release.__version__,
        "python": platform.python_version(),
        "controller": platform.platform(),
    }


def _collection_version() -> str:
    """Read our version from the built collection's manifest, or from a checkout's galaxy.yml."""
    root = Path(__file__).resolve().parents[2]
    built, checkout = root / "MANIFEST.json", root / "galaxy.yml"
    if built.exists():
        return str(json.loads(built.read_text(encoding="utf-8"))["collection_info"]["version"])
    found = re.search(r"^version: *[\"']?([^\"'\s]+)", checkout.read_text(encoding="utf-8"), re.M)
    return found.group(1) if found else "unknown"
