# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of measuring a block: its order, and its samples into the bundle.

The controller looks at its own clock just before the module is sent and just after it has answered.
Between the two lie the transfer of the module (5 to 10 s to an emulated node) and the block, so that
one block says little of how the host's clock runs; the bounds that all blocks of a run give together
are close (``vcompare_runner.analysis.gates``).
"""

from __future__ import annotations

import functools
import json
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.vcompare.lab.plugins.module_utils._block.order import order_of
from ansible_collections.vcompare.lab.plugins.module_utils._contract import turns as parts
from ansible_collections.vcompare.lab.plugins.module_utils._contract.ids import instance_name
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.plugin_utils import controller, reset, turns
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle, BundleError

display = Display()

# What the controller itself reads; all the rest is the module's to check.
_SPEC: dict[str, t.Any] = {
    "bundle": {"type": "path", "required": True},
    "run": {"type": "str", "required": True},
    "seed": {"type": "int", "required": True},
    "block": {"type": "int", "required": True},
    "blocks": {"type": "int", "required": True},
    "max_blocks": {"type": "int"},
    "arms": {"type": "list", "elements": "str", "required": True},
    "boot": {"type": "str", "choices": ["", *parts.BOOTS], "default": ""},
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
        machine = str(task_vars["inventory_hostname"])
        mine = self._own_arguments()
        host, arms, part = _part(machine, mine["arms"], mine["boot"])
        bundle, block = Bundle(Path(mine["bundle"])), mine["block"]
        least, most = mine["blocks"], mine["max_blocks"] or mine["blocks"]
        short = {
            "block": block,
            "blocks": max(least, block),
            "at_least": max(least, block) < most,
            "host": host,
        }
        if not arms:
            # Nothing of this host belongs to this system.
            return {"changed": False, "host": host, "arms": [], "samples": 0, "skipped": True}
        done = bundle.finished(block, host)
        if done is not None:
            return {
                **short,
                "changed": False,
                "arms": _outcomes(done),
                "samples": 0,
                "skipped": True,
            }
        try:
            order = order_of(arms, mine["seed"], host, block)
        except ValueError as error:
            raise AnsibleActionFail(f"block {block} of {host} can't be ordered: {error}") from None
        full = mine["full_digest"] if mine["full_digest"] is not None else block == 1
        arguments = {**self._task.args, "host": host, "arms": order, "full_digest": full}
        domains = lab_domains(bundle)
        lost: dict[str, str] = {}
        while True:
            before = controller.read(domains)
            sent_at, began = time.time(), time.monotonic()
            try:
                result = self._execute_module(
                    module_name="vcompare.lab.measure",
                    module_args={**arguments, "lost": lost} if lost else arguments,
                    task_vars=task_vars,
                )
                break
            except AnsibleConnectionFailure:
                arm, how = self._not_survived(arguments, began, lost, striker(bundle, machine))
                if not arm:
                    # Nothing is written then, and the next run resumes.
                    raise
                bundle.note({"event": "lost", **short, "arm": arm, "reason": how})
                display.warning(f"{host}: {how}; the other arms are measured again")
                lost[arm] = how
        ended = time.monotonic()
        after = controller.read(domains)
        if result.get("failed"):
            if not self._task.check_mode:
                bundle.note({"event": "failed", **short, "reason": result.get("msg")})
            return {**result, **short, "changed": False, "skipped": False}
        if self._task.check_mode:
            return {**result, **short}
        try:
            count = bundle.append(
                result["measured"],
                ended - began,
                controller.between(before, after),
                {
                    "boot_id": conditions.boot_id(),
                    "session": controller.session(),
                    "sent_s": round(began, 6),
                    "received_s": round(ended, 6),
                    "sent_at_s": round(sent_at, 3),
                },
                part,
            )
        except (BundleError, OSError, ValueError) as error:
            raise AnsibleActionFail(
                f"block {block} of {host} was measured, and can't be kept in {bundle.path}: {error}"
            ) from None
        return {
            **short,
            "changed": True,
            "arms": _outcomes(result["measured"]),
            "samples": count,
            "skipped": False,
        }

    def _not_survived(
        self,
        arguments: t.Mapping[str, t.Any],
        began: float,
        lost: t.Container[str],
        strike: t.Callable[[], bool] | None,
    ) -> tuple[str, str]:
        """Return the arm that a host which is there again did not survive, and how; empty texts for none."""
        names = {
            arm: instance_name(arguments["run"], arguments["block"], arm)
            for arm in arguments["arms"]
            if arm not in lost
        }
        return reset.culprit(self._on_host, began, names, strike)

    def _on_host(self, command: str) -> str:
        """Run a command on the host over a connection of its own; return what it printed.

        :raises AnsibleConnectionFailure: it can't be reached.
        """
        self._connection.reset()
        result = self._low_level_execute_command(command)
        return str(result["stdout"]) if result["rc"] == 0 else ""

    def _own_arguments(self) -> dict[str, t.Any]:
        given = {key: value for key, value in self._task.args.items() if key in _SPEC}
        checked = ArgumentSpecValidator(_SPEC).validate(given)
        if checked.error_messages:
            raise AnsibleActionFail("measure: " + "; ".join(checked.error_messages))
        return t.cast("dict[str, t.Any]", checked.validated_parameters)


def _part(
    machine: str, arms: t.Sequence[str], boot: str
) -> tuple[str, t.Sequence[str], dict[str, str] | None]:
    """Return the name in the bundle, the arms, and what the bundle says of a host that takes turns.

    :param boot: what such a host is booted into; empty for any other host.
    """
    if not boot:
        return machine, arms, None
    own = [arm for arm in arms if turns.boot_of(arm) == boot]
    return parts.part_name(machine, boot), own, {"machine": machine, "boot": boot}


def _outcomes(block: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """How the arms fared, without what only the bundle needs."""
    return [{key: arm[key] for key in ("arm", "status", "reason")} for arm in block["arms"]]


def lab_domains(bundle: Bundle) -> tuple[str, ...]:
    """Return the domains of the nested lab that a run is measured in; none when it is in none."""
    return tuple(_nodes(bundle).values())


def striker(bundle: Bundle, host: str) -> t.Callable[[], bool] | None:
    """Return what resets a host that is a node of the lab that a run is measured in; None for any other host."""
    domain = _nodes(bundle).get(host)
    return functools.partial(reset.node, domain) if domain else None


def _nodes(bundle: Bundle) -> dict[str, str]:
    """Return the domain of each node of the nested lab that a run is measured in, by its name."""
    try:
        lab = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))["lab"]
    except (OSError, ValueError, KeyError):
        return {}
    # docs/contracts.md: a bundle is runs/<run> in the home that its lab is in.
    home = str(bundle.path.absolute().parents[1])
    return controller.lab_nodes(home, lab.get("name")) if lab.get("nested") else {}
