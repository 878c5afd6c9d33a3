# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be in force before Xen's packages are installed.

Debian's package writes the boot menu, with Xen as its default entry: a host that lost power between that and our own
settings would boot a Xen that was never tried.
"""

from __future__ import annotations

import os

from ansible_collections.vcompare.lab.plugins.module_utils._engines import xen_boot
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal

# Of Debian's package.
XEN_SETTINGS = "/etc/default/grub.d/xen.cfg"
_DOM0 = "/proc/xen/capabilities"
OVERRIDE = "XEN_OVERRIDE_GRUB_DEFAULT"
_TEXT = f"# Managed by vcompare.lab (role xen_host).\n{OVERRIDE}=0\n"


def keep_default(journal: HostJournal, check_mode: bool) -> bool:
    """Let the boot menu keep its default entry while the packages are installed.

    :returns: whether something was changed, or would be.
    """
    # A dom0, whoever set it up, keeps its menu.
    if any(map(os.path.lexists, (xen_boot.SETTINGS, XEN_SETTINGS, _DOM0))):
        return False
    if not check_mode:
        journal.directory(os.path.dirname(xen_boot.SETTINGS))
        journal.file(xen_boot.SETTINGS, _TEXT.encode())
        os.makedirs(os.path.dirname(xen_boot.SETTINGS), exist_ok=True)
        xen_boot.replace(xen_boot.SETTINGS, _TEXT)
    return True
