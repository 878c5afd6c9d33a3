# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory a host can give to instances of a technology."""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import XEN_ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run
from ansible_collections.vcompare.lab.plugins.module_utils._host import freed


def mib(arm: str) -> float:
    """Return it in MiB: what the kernel has, or under Xen, where a guest gets none of the control domain's memory, what
    the hypervisor has.

    :raises BackendError: it can't be read.
    """
    if arm in XEN_ARMS:
        said = host_run(["xl", "info", "free_memory"], 120, "asking Xen for its free memory").stdout
        try:
            return float(said)
        except ValueError:
            raise BackendError(f"Xen's free memory is not a number: {said.strip()!r}") from None
    available = freed.available_mib()
    if not available:
        raise BackendError("a host does not say how much memory is available (/proc/meminfo)")
    return float(available)
