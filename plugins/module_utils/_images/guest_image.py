# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one root file system of all arms, and its exports.

One Debian tree becomes a disk image, a container image and (with a kernel of the
same release as the nodes') a small initrd. All of it follows from the recipe and
the packages alone: built twice, it has the same bytes.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import lzma
import os
import shutil
import struct
import tarfile
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import filesystem
from ansible_collections.vcompare.lab.plugins.module_utils._images.image_build import (
    EPOCH,
    KERNEL_AT,
    Recipe,
    as_builder,
    debian_tar,
    make_initrd,
    remove_tree,
    tree_kib,
    unpack,
    used_mib,
)
from ansible_collections.vcompare.lab.plugins.module_utils._images.packages import sha256

_DRIVERS = {
    "virtio": ("virtio_pci", "virtio_blk", "virtio_net"),
    "xen": ("xen-blkfront", "xen-netfront"),
    "common": ("crc32c_generic", "ext4", "overlay"),
}
_ZSTD = b"\x28\xb5\x2f\xfd"
# By the tree's own apt: this machine's may know another release's kernels only.
_KERNEL_HOOK = (
    f'set -e; mkdir "$1"{KERNEL_AT}; cd "$1"{KERNEL_AT}; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; '
    "package=$(apt-cache depends --important linux-image-amd64 | sed -n 's/^ *Depends: *//p' | head -n 1); "
    'apt-get --quiet download "$package"'
)
_NO_KERNEL_HOOK = f'rm -r "$1"{KERNEL_AT}'


def make(recipe: Recipe, folder: str, work: str) -> dict[str, t.Any]:
    """Build the image into ``folder``; `image_build.build` calls it.

    :returns: the content of image.json (docs/contracts.md).
    """
    tar = os.path.join(work, "root.tar")
    tree = os.path.join(work, "root")
    kernel_dir = work + KERNEL_AT
    with_kernel = Recipe(
        **{
            **recipe.__dict__,
            # First, since hooks may take apt's lists away.
            "hooks": (
                _KERNEL_HOOK,
                f"copy-out {KERNEL_AT} {work}",
                _NO_KERNEL_HOOK,
                *recipe.hooks,
            ),
        }
    )
    debian_tar(with_kernel, tar, work, keep_apt=False)
    kernel = _kernel(kernel_dir, folder, str(recipe.settings["initrd_init"]), tar)

    unpack(tar, tree)
    digest, quick_digest = (
        command.run(
            [*as_builder(), "chroot", tree, "/usr/lib/vcompare/digest", *flag],
            "reading the tree's digest",
        ).strip()
        for flag in ((), ("--quick",))
    )
    packages = _packages(tree, recipe.packages)
    rootfs = os.path.join(folder, "rootfs.ext4")
    filesystem.make_ext4(
        rootfs,
        tree,
        size_mib=used_mib(tree_kib(tree), 1.15),
        name="vc-rootfs",
        epoch=EPOCH,
        journal=False,
        prefix=as_builder(),
    )
    remove_tree(tree)
    reference = f"vcompare/guest:{digest.partition(':')[2][:12]}"
    layer = _container(tar, os.path.join(folder, "container.tar"), reference)
    meta = {
        "schema": 1,
        "digest": digest,
        "quick_digest": quick_digest,
        "reference": reference,
        "release": recipe.release,
        "kernel": kernel,
        "layer_diff_id": layer,
        "packages": packages,
    }
    _kit(folder, work, meta)
    files = ("rootfs.ext4", "kit.ext4", "container.tar", "vmlinux", "vmlinuz", "initrd.img")
    return {**meta, "files": {name: sha256(os.path.join(folder, name)) for name in files}}


def _kernel(kernel_dir: str, folder: str, init: str, tar: str) -> str:
    """Take kernel and drivers out of the kernel package; return its release."""
    debs = glob.glob(os.path.join(kernel_dir, "linux-image-*.deb"))
    if len(debs) != 1:
        raise VcompareError(
            f"Fetching the guests' kernel gave {len(debs)} packages instead of one."
        )
    tree = os.path.join(kernel_dir, "tree")
    command.run(["dpkg-deb", "--extract", debs[0], tree], "unpacking the guests' kernel")
    (image,) = glob.glob(os.path.join(tree, "boot", "vmlinuz-*"))
    release = os.path.basename(image).removeprefix("vmlinuz-")
    # As firmware starts it, for machines that have one.
    shutil.copyfile(image, os.path.join(folder, "vmlinuz"))
    with open(image, "rb") as packed, open(os.path.join(folder, "vmlinux"), "wb") as plain:
        plain.write(uncompressed(packed.read()))
    modules = os.path.join(
        tree,
        "usr" if os.path.isdir(os.path.join(tree, "usr", "lib", "modules")) else "",
        "lib/modules",
        release,
    )
    command.run(
        ["depmod", "-b", os.path.dirname(os.path.dirname(os.path.dirname(modules))), release],
        "indexing modules",
    )
    depends = _depends(os.path.join(modules, "modules.dep"))
    files: dict[str, bytes | str] = {}
    loaded: list[str] = []
    for group in ("common", "virtio", "xen"):
        names: list[str] = []
        for driver in _DRIVERS[group]:
            for path in depends.get(driver, []):
                name = os.path.basename(path).removesuffix(".xz")
                if name in names or (group != "common" and name in loaded):
                    continue
                names.append(name)
                source = os.path.join(modules, path)
                # Newer releases compress modules, and busybox's insmod takes plain ones only.
                if path.endswith(".xz"):
                    files[f"modules/{name}"] = command.run_bytes(
                        ["xz", "-dc", source], "unpacking a module"
                    )
                else:
                    files[f"modules/{name}"] = source
        if group == "common":
            loaded = names
        files[f"modules.{group}"] = "".join(name + "\n" for name in names).encode()
    with tarfile.open(tar) as archive:
        busybox = archive.extractfile(_member(archive, ("./usr/bin/busybox", "./bin/busybox")))
        files["bin/busybox"] = busybox.read() if busybox else b""
    for name in ("dev", "proc", "sys"):
        files[f"{name}/.keep"] = b""
    make_initrd(os.path.join(folder, "initrd.img"), init, files)
    return release


def uncompressed(image: bytes) -> bytes:
    """Take the kernel proper (ELF) out of a bzImage.

    Every hypervisor starts it by its PVH or PV entry, and none spends seconds on unpacking it at
    each start: that would be a cost of the file format, not of the hypervisor.

    Source: Linux, Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).

    :raises VcompareError: it is not a bzImage, or compressed in another way than by xz or zstd.
    """
    if image[0x202:0x206] != b"HdrS":
        raise VcompareError("The guests' kernel is not a bzImage.")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (setup_sectors + 1) * 512 + offset
    packed = image[begin : begin + length]
    try:
        # What follows the compressed data is its size, in four bytes.
        if packed[:4] == _ZSTD:
            kernel = command.run_bytes(
                ["zstd", "--quiet", "-dc"],
                "unpacking the guests' kernel",
                remedy="Install zstd.",
                stdin=packed[:-4],
            )
        else:
            kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
    except lzma.LZMAError as error:
        raise VcompareError(
            f"The guests' kernel can't be unpacked ({error}): it is compressed neither by xz, "
            "as the kernels of Debian 12 are, nor by zstd."
        ) from error
    if kernel[:4] != b"\x7fELF":
        raise VcompareError("The guests' kernel holds no ELF file.")
    return kernel


def _member(archive: tarfile.TarFile, names: t.Sequence[str]) -> tarfile.TarInfo:
    for name in names:
        try:
            found = archive.getmember(name)
        except KeyError:
            continue
        if found.isfile():
            return found
    raise VcompareError(
        f"The root file system has no {names[0]}.",
        "Keep busybox-static among guest_image_packages.",
    )


def _depends(path: str) -> dict[str, list[str]]:
    """Driver name → the files to load, in order, from modules.dep."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            target, _sep, needs = line.partition(":")
            name = os.path.basename(target).split(".ko")[0]
            order = [*reversed(needs.split()), target]
            found[name] = order
            found[name.replace("_", "-")] = order
    return found


def _packages(tree: str, names: t.Sequence[str]) -> dict[str, str]:
    """Versions of the packages that were asked for."""
    text = command.run(
        [
            *as_builder(),
            "dpkg-query",
            f"--admindir={tree}/var/lib/dpkg",
            "--show",
            "--showformat=${Package}=${Version}\n",
        ],
        "reading package versions",
    )
    versions = dict(line.split("=", 1) for line in text.splitlines())
    return {name: versions[name] for name in sorted(names) if name in versions}


def _container(tar: str, target: str, reference: str) -> str:
    """Write an archive for ``docker load`` around the root file system's own tar; return the layer's diff id.

    Format: Docker image specification v1.2. Creation times are fixed, so that the image id is, too.
    """
    layer = sha256(tar)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            "history": [{"created": created, "created_by": "vcompare guest image"}],
        },
        sort_keys=True,
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": name, "RepoTags": [reference], "Layers": [f"{layer}/layer.tar"]}]
    ).encode()
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for member, data in ((name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size, entry.mtime, entry.mode = len(data), EPOCH, 0o644
            archive.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo(f"{layer}/layer.tar")
        entry.size, entry.mtime, entry.mode = os.path.getsize(tar), EPOCH, 0o644
        with open(tar, "rb") as source:
            archive.addfile(entry, source)
    return f"sha256:{layer}"


def _kit(folder: str, work: str, meta: dict[str, t.Any]) -> None:
    """The second read-only disk of a nested node: kernel, initrd and container image."""
    tree = os.path.join(work, "kit")
    os.mkdir(tree)
    for name in ("vmlinux", "vmlinuz", "initrd.img", "container.tar"):
        os.link(os.path.join(folder, name), os.path.join(tree, name))
    with open(os.path.join(tree, "image.json"), "w", encoding="utf-8") as text:
        json.dump(meta, text, indent=1, sort_keys=True)
    for name in os.listdir(tree):
        os.chmod(os.path.join(tree, name), 0o644)
        os.utime(os.path.join(tree, name), (EPOCH, EPOCH))
    os.utime(tree, (EPOCH, EPOCH))
    filesystem.make_ext4(
        os.path.join(folder, "kit.ext4"),
        tree,
        size_mib=used_mib(tree_kib(tree), 1.05),
        name="vc-kit",
        epoch=EPOCH,
        journal=False,
    )
