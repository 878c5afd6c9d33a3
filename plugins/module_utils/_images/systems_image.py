# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Systems that are not Linux, as Debian ships them: single files that a machine starts in place of a kernel."""

from __future__ import annotations

import glob
import json
import os
import shutil
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images.image_build import Recipe
from ansible_collections.vcompare.lab.plugins.module_utils._images.packages import sha256


def make(recipe: Recipe, folder: str, work: str) -> dict[str, t.Any]:
    """Take the files out of their packages; `image_build.build` calls it.

    ``recipe.settings["files"]`` is what each is called → where it may lie in a package, since releases differ in that;
    ``recipe.settings["catalogue"]`` says how each is started and seen, and goes beside them.

    :returns: the content of image.json.
    :raises VcompareError: a package can't be fetched, or has no such file any more.
    """
    command.run(
        ["apt-get", "--quiet", "download", *recipe.packages],
        f"fetching {', '.join(recipe.packages)}",
        remedy="See that this machine's own apt works and knows its packages (apt-get update).",
        cwd=work,
    )
    tree = os.path.join(work, "tree")
    packages = {}
    for deb in sorted(glob.glob(os.path.join(work, "*.deb"))):
        command.run(["dpkg-deb", "--extract", deb, tree], "unpacking a package")
        shown = command.run(
            ["dpkg-deb", "--show", "--showformat=${Package} ${Version}", deb], "reading a package"
        )
        name, version = shown.split()
        packages[name] = version
    files = {}
    for name, places in recipe.settings["files"].items():
        found = [
            path for path in (os.path.join(tree, place) for place in places) if os.path.isfile(path)
        ]
        if not found:
            raise VcompareError(
                f"None of {', '.join(recipe.packages)} has {' or '.join(places)}.",
                "Name the file's new place in roles/measure/vars/others.yml.",
            )
        target = os.path.join(folder, name)
        shutil.copyfile(found[0], target)
        os.chmod(target, 0o644)
        files[name] = sha256(target)
    catalogue = os.path.join(folder, "systems.json")
    with open(catalogue, "w", encoding="utf-8") as text:
        json.dump(recipe.settings["catalogue"], text, indent=1, sort_keys=True)
    files["systems.json"] = sha256(catalogue)
    return {"schema": 1, "release": recipe.release, "packages": packages, "files": files}
