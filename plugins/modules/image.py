#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Build the root file system of all arms, and the disk of lab nodes
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Builds images from Debian packages on the host that it runs on, with that host's own apt configuration
    (mirrors, proxies, keys, options), without loop devices, and without root where the host lets users have
    user namespaces.
  - An image of the same recipe is built once and kept by its recipe's digest. Several are built side by side.
options:
  home:
    description:
      - Folder with everything that is kept; images go into C(images/) below it.
    type: path
    required: true
  images:
    description:
      - What to build.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description:
          - V(guest) is the one root file system of all arms with its exports, V(node) the disk of lab nodes,
            V(systems) a folder with systems that are not Linux, taken out of packages.
        type: str
        choices: [guest, node, systems]
        required: true
      name:
        description:
          - What it is called in the result; by default its kind. Several images of one kind need names.
        type: str
      release:
        description:
          - Debian code name. By default the release of the host that builds.
        type: str
      packages:
        description:
          - Packages beside the essential ones.
        type: list
        elements: str
        required: true
      release_packages:
        description:
          - By release, packages beside those; C(default) is for a release that is not named.
        type: dict
        default: {}
      files:
        description:
          - Files of ours, each with C(path), C(content) and C(mode), or C(path) and C(link).
        type: list
        elements: dict
        default: []
      early_hooks:
        description:
          - Shell lines that run before packages are configured. C($1) is the tree.
        type: list
        elements: str
        default: []
      hooks:
        description:
          - Shell lines that run at the end. C($1) is the tree.
        type: list
        elements: str
        default: []
      size_mib:
        description:
          - Size of the disk of a node; a guest's follows from its content.
        type: int
        default: 8192
      settings:
        description:
          - What the builder of this kind reads beside that, such as C(initrd_init) (guest), C(fstab) (node) and
            C(files) (systems).
        type: dict
        default: {}
      pinned:
        description:
          - The packages of a lock, each with C(name), C(version), C(architecture), C(sha256) and C(stanza). It is built
            of these and of nothing else, and no mirror is asked.
        type: list
        elements: dict
        default: []
  anew:
    description:
      - Build also what is there. Refused where a lab stands on it.
    type: bool
    default: false
  places:
    description:
      - Folders with kept packages beside C(packages/) of O(home), where O(images[].pinned) is looked for.
    type: list
    elements: path
    default: []
  there:
    description:
      - Folders of images that a lab stands on. One of them is used in place of an image that differs from it in nothing
        but in what packages were pinned.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: Nothing is built; says whether something would be.
  diff_mode:
    support: none
    description: An image has no text to compare.
  idempotent:
    support: full
    description: An image that is there is not built again.
"""

EXAMPLES = r"""
- name: Build a small root file system
  vcompare.lab.image:
    home: /srv/vcompare
    images:
      - kind: guest
        packages: [busybox-static, redis-server, sysbench]
        files:
          - {path: /usr/lib/vcompare/init, content: "{{ lookup('file', 'init.sh') }}", mode: "0755"}
        settings:
          initrd_init: "{{ lookup('file', 'initrd-init.sh') }}"
"""

RETURN = r"""
images:
  description: By name, the image's description (docs/contracts.md, image.json) and its C(folder).
  returned: success
  type: dict
plan:
  description: What is, or would be, done; see M(vcompare.lab.host_packages).
  returned: success
  type: list
  elements: dict
elapsed_s:
  description: How long it took, in seconds.
  returned: success
  type: float
"""

import concurrent.futures
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan
from ansible_collections.vcompare.lab.plugins.module_utils._images import (
    apt,
    capacity,
    guest_image,
    image_build,
    node_image,
    packages,
    systems_image,
)

_MAKERS = {"guest": guest_image.make, "node": node_image.make, "systems": systems_image.make}
# A tree, its archive and the finished files, as measured.
_BUILD_MIB = {"guest": 1400, "node": 4000, "systems": 30}


def _recipe(given: dict[str, t.Any], places: list[str]) -> image_build.Recipe:
    files = tuple(
        image_build.File(
            path=entry["path"],
            content=entry.get("content", ""),
            mode=int(str(entry.get("mode", "0644")), 8),
            link=entry.get("link", ""),
        )
        for entry in given["files"]
    )
    release = given["release"] or apt.codename()
    by_release = given["release_packages"]
    more = by_release.get(release, by_release.get("default", []))
    return image_build.Recipe(
        kind=given["kind"],
        release=release,
        packages=tuple(sorted({*given["packages"], *more})),
        files=files,
        early_hooks=tuple(given["early_hooks"]),
        hooks=tuple(given["hooks"]),
        size_mib=given["size_mib"] - 1 if given["kind"] == "node" else 0,
        settings=given["settings"],
        pinned=tuple(_package(entry) for entry in given["pinned"]),
        places=tuple(places) if given["pinned"] else (),
    )


def _package(entry: dict[str, t.Any]) -> packages.Package:
    try:
        return packages.Package(**entry)
    except TypeError:
        raise VcompareError(
            f"A pinned package has the fields {', '.join(sorted(entry))}, and not those of a lock.",
            "Write the lock again: vcompare lab lock.",
        ) from None


def _named(given: list[dict[str, t.Any]], places: list[str]) -> dict[str, image_build.Recipe]:
    """Return the recipes by the names of their images."""
    recipes: dict[str, image_build.Recipe] = {}
    for entry in given:
        name = entry.get("name") or entry["kind"]
        if name in recipes:
            raise VcompareError(
                f"Two images would be called {name}.", "Give each a name of its own."
            )
        recipes[name] = _recipe(entry, places)
    return recipes


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "kind": {
                        "type": "str",
                        "choices": ["guest", "node", "systems"],
                        "required": True,
                    },
                    "name": {"type": "str"},
                    "release": {"type": "str"},
                    "packages": {"type": "list", "elements": "str", "required": True},
                    "release_packages": {"type": "dict", "default": {}},
                    "files": {"type": "list", "elements": "dict", "default": []},
                    "early_hooks": {"type": "list", "elements": "str", "default": []},
                    "hooks": {"type": "list", "elements": "str", "default": []},
                    "size_mib": {"type": "int", "default": 8192},
                    "settings": {"type": "dict", "default": {}},
                    "pinned": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "anew": {"type": "bool", "default": False},
            "there": {"type": "list", "elements": "path", "default": []},
            "places": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    begin = time.monotonic()
    folder = f"{module.params['home']}/images"
    try:
        anew = module.params["anew"]
        places = [packages.store(module.params["home"]), *module.params["places"]]
        recipes = _named(module.params["images"], places)
        used = {
            name: image
            for name, recipe in recipes.items()
            if (image := image_build.standing(module.params["there"], recipe)) is not None
        }
        # A recipe that is asked for twice is built once.
        missing = list(
            {
                recipe.key(): recipe
                for name, recipe in recipes.items()
                if name not in used
                if anew or image_build.cached(folder, recipe) is None
            }.values()
        )
        if missing and not module.check_mode:
            for release in sorted({recipe.release for recipe in missing if not recipe.pinned}):
                apt.require_mirror(apt.sources(release), release)
            disk = sum(_BUILD_MIB[recipe.kind] for recipe in missing)
            capacity.require(
                folder, memory=256, disk=disk, what="Building images", memory_option="nothing"
            )
            with concurrent.futures.ThreadPoolExecutor(max_workers=len(missing)) as pool:
                builds = [
                    pool.submit(image_build.build, folder, recipe, _MAKERS[recipe.kind], anew)
                    for recipe in missing
                ]
                for build in builds:
                    build.result()
        images = {
            name: used.get(name) or image_build.cached(folder, recipe) or {}
            for name, recipe in recipes.items()
        }
    except VcompareError as error:
        # With hundreds of pinned packages in it, a result is larger than ansible-runner hands on.
        asked = {"home": module.params["home"], "anew": module.params["anew"]}
        module.fail_json(**error.as_result(), invocation={"module_args": asked})
    steps = HostPlan()
    for recipe in missing:
        steps.add("image", "build", recipe.kind, f"in {folder}")
    module.exit_json(
        changed=bool(missing),
        images=images,
        elapsed_s=time.monotonic() - begin,
        **steps.result(),
    )


if __name__ == "__main__":
    main()
