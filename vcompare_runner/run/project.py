# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Where the playbooks are.

In the checkout that this package is part of, or in an installed collection.
"""

from __future__ import annotations

import dataclasses
import sys
import typing as t
from pathlib import Path

import yaml

from vcompare_runner import __version__
from vcompare_runner.core.edges import expanded
from vcompare_runner.core.errors import UsageError, VcompareError
from vcompare_runner.run.configuration import read_config, user_config_file

COLLECTION = Path("ansible_collections", "vcompare", "lab")


@dataclasses.dataclass(frozen=True)
class Project:
    """The collection's folder.

    :param root: the folder with ``playbooks/``, ``roles/`` and ``inventories/``.
    """

    root: Path

    @property
    def config(self) -> Path | None:
        """The ansible.cfg of a checkout; an installed collection has none."""
        path = self.root / "ansible.cfg"
        return path if path.is_file() else None

    @property
    def default_inventory(self) -> Path:
        """The inventory of the nested lab."""
        return self.root / "inventories" / "nested"

    @property
    def roles(self) -> list[str]:
        """The names of its roles, which their variables begin with."""
        return [path.name for path in sorted((self.root / "roles").iterdir()) if path.is_dir()]

    def playbook(self, name: str) -> Path:
        """Return the path of a playbook.

        :raises VcompareError: it is not there: this is not a whole collection.
        """
        path = self.root / "playbooks" / name
        if not path.is_file():
            raise VcompareError(
                f"the playbook {name} is not in {path.parent}",
                "install the collection vcompare.lab again, in the version of this package",
            )
        return path

    def read_data(self, *parts: str) -> dict[str, t.Any]:
        """Read a YAML file of the collection, e.g. ``roles/measure/vars/profiles.yml``."""
        path = self.root.joinpath(*parts)
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise VcompareError(
                f"{path} can't be read: {error}",
                "install the collection vcompare.lab again, in the version of this package",
            ) from error
        return data if isinstance(data, dict) else {}


def find_project(package: Path | None = None) -> Project:
    """Find the collection.

    :param package: folder of this package; only tests need to name another.
    :raises UsageError: there is none; the message says where it was looked for.
    """
    checkout = (package or Path(__file__).resolve().parents[1]).parent
    if (checkout / "playbooks").is_dir():
        return Project(checkout)
    paths = read_config(user_config_file()).get_config_value("COLLECTIONS_PATHS") or ()
    looked = [expanded("ANSIBLE_COLLECTIONS_PATH", Path(str(path))) for path in paths]
    for path in looked:
        # ansible-galaxy takes the folder and the one above for the same.
        for root in (path / COLLECTION, path.joinpath(*COLLECTION.parts[1:])):
            if (root / "playbooks").is_dir():
                return Project(root)
    raise UsageError(
        f"the collection vcompare.lab was not found (looked in {', '.join(map(str, looked))})",
        f"install it from its archive: {ansible_program('ansible-galaxy')} collection install"
        f" vcompare-lab-{__version__}.tar.gz; or name the folder that has it with ANSIBLE_COLLECTIONS_PATH",
    )


def ansible_program(name: str) -> Path:
    """Return the path of an Ansible program, e.g. ``ansible-playbook``.

    It is the one beside our own interpreter: another one on PATH may be of another version and
    would not have our requirements.

    :raises VcompareError: it is not installed there.
    """
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise VcompareError(
            f"{name} is not beside {sys.executable}",
            f"install it there: {sys.executable} -m pip install ansible-core",
        )
    return path
