# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python package vcompare_runner, which makes reports. The collection carries it.

What it needs itself is in the collection's requirements.txt, which ansible-builder puts into an execution environment.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAME = "vcompare_runner"


def load(module: str) -> types.ModuleType:
    """Return a module of vcompare_runner: of the collection's own, which has its version.

    :param module: name within the package.
    :raises ImportError: something that it needs is not installed; the text says what, and how it is installed.
    """
    try:
        _package()
        return importlib.import_module(f"{_NAME}.{module}")
    except ImportError as error:
        raise ImportError(
            f"{error} (needed by {_NAME}, for Python {sys.executable}); install what it needs on the controller:"
            f' "{sys.executable}" -m pip install -r "{ROOT / "requirements.txt"}"'
        ) from None


def _package() -> None:
    """Make the package importable, without a folder more in which Python looks for everything."""
    if _NAME in sys.modules:
        return
    folder = ROOT / _NAME
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        # Somebody has packed the collection without it.
        importlib.import_module(_NAME)
        return
    package = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = package
    try:
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules[_NAME]
        raise
