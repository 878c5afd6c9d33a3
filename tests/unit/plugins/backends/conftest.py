# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""libvirt is not a package of a virtual environment: it is taken from the system where that has it."""

from __future__ import annotations

import importlib.util
import sys

_SYSTEM = "/usr/lib/python3/dist-packages"

if importlib.util.find_spec("libvirt") is None:
    # Only for this import: the system's other packages must not be seen by the tests.
    sys.path.append(_SYSTEM)
    try:
        for name in ("libvirt", "libvirt_qemu"):
            importlib.import_module(name)
    except ImportError:
        pass
    finally:
        sys.path.remove(_SYSTEM)
