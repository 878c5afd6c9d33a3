# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules change on a host, in one form: in check mode what they would do, otherwise what they did.

The steps of a check and those of the run after it are the same, so that the plan is what is then done.
"""

from __future__ import annotations

import typing as t

KINDS = ("package", "file", "service", "module", "reboot", "network", "image", "arm")


class HostPlan:
    """The steps of one module, in their order."""

    def __init__(self) -> None:
        self._steps: list[dict[str, t.Any]] = []
        self._files: list[dict[str, str]] = []

    def add(self, kind: str, action: str, name: str, detail: str = "", **more: t.Any) -> None:
        """Add a step.

        :param kind: one of `KINDS`.
        :param action: what is done: ``add``, ``change``, ``start``, ``restart``, ``enable``, ``send``, …
        :param name: of what; ``detail`` says more, such as a version or the reason.
        :param more: ``before``, what a version or value was; ``bytes``, what has to be transferred; ``needs``, the word
            of ``vcompare_allow`` that the step needs and does not have.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind} is not a kind of step")
        step = {"kind": kind, "action": action, "name": name, "detail": detail}
        self._steps.append(step | {key: value for key, value in more.items() if value})

    def file(self, path: str, before: str | None, after: str, detail: str = "") -> None:
        """Add the writing of a file.

        :param before: its content, None where there is no file.
        """
        self.add("file", "add" if before is None else "change", path, detail)
        self._files.append(
            {
                "before_header": path,
                "after_header": path,
                "before": before or "",
                "after": after,
            }
        )

    @property
    def changed(self) -> bool:
        """Whether there is a step."""
        return bool(self._steps)

    def result(self) -> dict[str, t.Any]:
        """Return ``plan`` and ``diff`` of a module's result."""
        return {"plan": self._steps, "diff": [*self._files, *self._others()]}

    def _others(self) -> t.Iterator[dict[str, str]]:
        """What is not the text of a file, as lines of a list for each kind."""
        for kind in KINDS:
            steps = [step for step in self._steps if step["kind"] == kind and kind != "file"]
            if steps:
                before = [
                    f"{step['name']} {step['before']}\n" for step in steps if "before" in step
                ]
                after = [f"{_words(step)}\n" for step in steps]
                yield {
                    "before_header": f"{kind}s",
                    "after_header": f"{kind}s",
                    "before": "".join(before),
                    "after": "".join(after),
                }


def _words(step: t.Mapping[str, t.Any]) -> str:
    """A step in a list: packages as dpkg shows them, all else with what is done to it."""
    action = "" if step["kind"] == "package" else f"{step['action']} "
    return f"{action}{step['name']} {step['detail']}".strip()
