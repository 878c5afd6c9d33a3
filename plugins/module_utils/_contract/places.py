# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where things are kept, on hosts under test and on the machine that runs Ansible."""

from __future__ import annotations

import os

# Of a host under test: its journal, images and instances.
STATE_DIR = "/var/lib/vcompare"


def default_home() -> str:
    """Return the folder that holds all that a machine keeps (``VCOMPARE_HOME``, else the XDG data folder's)."""
    home = os.environ.get("VCOMPARE_HOME")
    if home:
        return os.path.abspath(os.path.expanduser(home))
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(
        os.path.expanduser("~"), ".local", "share"
    )
    return os.path.join(data, "vcompare")
