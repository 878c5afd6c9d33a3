# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends the parts of an image over Ansible's own connection: every setting of the connection holds here, too."""

from __future__ import annotations

import hashlib
import os
import shlex
import time
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.vcompare.lab.plugins.plugin_utils.notice import notice

display = Display()

_SPEC: dict[str, t.Any] = {
    "parts": {"type": "list", "elements": "dict", "required": True},
    "source": {"type": "path", "required": True},
    "remote_src": {"type": "bool", "default": False},
    "dest": {"type": "path"},
    "image": {"type": "dict", "default": {}},
    "unpacked_bytes": {"type": "int", "default": 0},
    "fetch_to": {"type": "path"},
}
# A connection that broke is tried so often again, with as many seconds between as are named.
_RETRY_AFTER_S = (2, 5, 15)
# In the home of the user that Ansible connects as, who may write there without becoming root.
_INCOMING = ".cache/vcompare/incoming"
# Says that ~/.cache is ours, too; release (module_utils/_release/state.py) reads it where a transfer did not end.
_CREATED = ".cache/vcompare/created-parent"
_CLEAN_UP = f"""
rm -rf {{folder}}
cd "$HOME" && rmdir {_INCOMING} || exit 0
if [ -e {_CREATED} ]; then rm {_CREATED}; rmdir .cache/vcompare && rmdir .cache; else rmdir .cache/vcompare; fi
"""


class ActionModule(ActionBase):
    """Bring an image to a host, or its parts from the host that built it."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return changed, present and sent_bytes."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        checked = ArgumentSpecValidator(_SPEC).validate(self._task.args)
        if checked.error_messages:
            raise AnsibleActionFail("image_install: " + "; ".join(checked.error_messages))
        args = checked.validated_parameters
        self._host = str(task_vars.get("inventory_hostname"))
        if args["fetch_to"]:
            return self._fetch(args)
        found = self._module({**args, "state": "checked"}, task_vars)
        if found.get("failed") or found["present"] or self._task.check_mode:
            return found
        if args["remote_src"]:
            return self._module(args, task_vars)
        digest = hashlib.sha256("".join(p["sha256"] for p in args["parts"]).encode()).hexdigest()
        folder, there = self._incoming(digest[:16], args["parts"])
        missing = [part for part in args["parts"] if there.get(part["name"]) != part["sha256"]]
        sent = self._transfer(
            missing,
            args["parts"],
            lambda name: self._send(f"{args['source']}/{name}", f"{folder}/{name}"),
        )
        result = self._module({**args, "source": folder}, task_vars)
        # Also after a failure of a digest: what was sent is not to be trusted then.
        self._shell(_CLEAN_UP.format(folder=shlex.quote(folder)))
        return {**result, "sent_bytes": sent}

    def _module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        given = {key: value for key, value in args.items() if value is not None}
        return self._execute_module(
            module_name="vcompare.lab.image_install", module_args=given, task_vars=task_vars
        )

    def _incoming(
        self, name: str, parts: t.Sequence[t.Mapping[str, t.Any]]
    ) -> tuple[str, dict[str, str]]:
        """Make the folder for parts on the host; return it, and the digests of the parts that are there."""
        script = (
            f'umask 077; folder="$HOME/{_INCOMING}/{name}"; there=; [ ! -e "$HOME/.cache" ] || there=yes; '
            f'mkdir -p "$folder" && {{ [ "$there" ] || : >"$HOME/{_CREATED}"; }} && cd "$folder" && pwd -P '
            "&& { sha256sum part-* 2>/dev/null || true; }"
        )
        lines = self._shell(script).splitlines()
        if not lines:
            raise AnsibleActionFail(
                f"{self._host}: no folder for the image could be made in the home of the user that Ansible "
                "connects as. See that this user has a home folder that it may write to."
            )
        known = {part["name"] for part in parts}
        digests = dict(line.split(None, 1)[::-1] for line in lines[1:] if len(line.split()) == 2)
        return lines[0], {name: digest for name, digest in digests.items() if name in known}

    def _shell(self, script: str) -> str:
        """Run a script as the user that Ansible connects as, without becoming another."""
        result = self._low_level_execute_command(script, sudoable=False)
        return str(result["stdout"]) if result["rc"] == 0 else ""

    def _send(self, source: str, target: str) -> None:
        self._connection.put_file(source, target + ".partial")
        # A part under its own name arrived whole; one that did not is found by its digest.
        if self._low_level_execute_command(
            f"mv -f {shlex.quote(target + '.partial')} {shlex.quote(target)}", sudoable=False
        )["rc"]:
            raise AnsibleConnectionFailure(f"{target} did not arrive")

    def _fetch(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Bring the parts to the controller."""
        folder = args["fetch_to"]
        os.makedirs(folder, mode=0o700, exist_ok=True)
        missing = [p for p in args["parts"] if _sha256(f"{folder}/{p['name']}") != p["sha256"]]
        if self._task.check_mode or not missing:
            return {"changed": bool(missing), "present": not missing, "sent_bytes": 0}

        def bring(name: str) -> None:
            # Several hosts may ask for the same part at the same time.
            partial = f"{folder}/{name}.{os.getpid()}"
            self._connection.fetch_file(f"{args['source']}/{name}", partial)
            os.replace(partial, f"{folder}/{name}")

        sent = self._transfer(missing, args["parts"], bring)
        for part in missing:
            if _sha256(f"{folder}/{part['name']}") != part["sha256"]:
                raise AnsibleActionFail(
                    f"{self._host}: {part['name']} of the image arrived with another digest. Start again."
                )
        return {"changed": True, "present": True, "sent_bytes": sent}

    def _transfer(
        self,
        missing: t.Sequence[t.Mapping[str, t.Any]],
        parts: t.Sequence[t.Mapping[str, t.Any]],
        move: t.Callable[[str], None],
    ) -> int:
        """Move the missing parts; return the number of bytes."""
        total = sum(part["bytes"] for part in parts)
        done = total - sum(part["bytes"] for part in missing)
        if done:
            notice(f"{self._host}: {_mb(done)} of {_mb(total)} MB of the image are there already")
        sent = 0
        for part in missing:
            self._retried(part["name"], move, done, total)
            done += part["bytes"]
            sent += part["bytes"]
            notice(f"{self._host}: image, {_mb(done)} of {_mb(total)} MB")
        return sent

    def _retried(self, name: str, move: t.Callable[[str], None], done: int, total: int) -> None:
        for pause in (*_RETRY_AFTER_S, None):
            try:
                move(name)
                return
            except AnsibleError as error:
                if pause is None:
                    raise AnsibleActionFail(
                        f"{self._host}: the connection was lost {len(_RETRY_AFTER_S) + 1} times while the image was "
                        f"sent ({error}). {_mb(done)} of {_mb(total)} MB arrived and stay; start again to go on there."
                    ) from error
                display.warning(f"{self._host}: {name} is sent again: {error}")
                time.sleep(pause)
                self._connection.reset()


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f}"


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
