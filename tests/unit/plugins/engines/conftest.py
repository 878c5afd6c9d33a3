# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the helpers beside this file importable: pytest does so in no import mode that is used.

And a host with GRUB's own programs, for all tests of this folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from test_grub import host

__all__ = ["host"]
