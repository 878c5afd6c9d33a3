# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does to a server what an operator does at the machine: pulls its cable, keeps it off, presses its power button.

qmp.py FOLDER/NAME.qmp COMMAND [JSON]
"""

from __future__ import annotations

import json
import socket
import sys
import typing as t


def execute(path: str, command: str, arguments: dict[str, t.Any] | None = None) -> t.Any:
    """Run one command of QEMU's machine protocol; return its result."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        lines = connection.makefile("rw", encoding="utf-8")
        lines.readline()
        result = None
        for name, given in (("qmp_capabilities", {}), (command, arguments or {})):
            lines.write(json.dumps({"execute": name, "arguments": given}) + "\n")
            lines.flush()
            while True:
                answer = json.loads(lines.readline())
                if "error" in answer:
                    raise SystemExit(f"{name}: {answer['error']['desc']}")
                # Events come between.
                if "return" in answer:
                    result = answer["return"]
                    break
        return result


if __name__ == "__main__":
    print(
        json.dumps(
            execute(sys.argv[1], sys.argv[2], json.loads(sys.argv[3] if sys.argv[3:] else "{}"))
        )
    )
