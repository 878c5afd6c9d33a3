#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: instance
short_description: Make, start, stop and remove a place where work can run
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - An instance is the same root file system under one of several technologies, the arms, with the
    same number of CPUs and the same memory. O(arm=bare) is a chroot on the host itself,
    O(arm=docker) a container, O(arm=kvm) a libvirt domain, O(arm=xen-pv), O(arm=xen-pvh) and
    O(arm=xen-hvm) guests of Xen, and O(arm=xen-dom0) a chroot in Xen's control domain.
  - What is made carries a marker with its owner. Nothing without it, or with another owner, is ever
    changed or removed.
  - A failed attempt leaves nothing behind.
extends_documentation_fragment:
  - vcompare.lab.arms.one
  - vcompare.lab.attributes
options:
  name:
    description:
      - Name of the instance, unique on the host. It starts with V(vc-); up to 40 lower-case
        letters,
        digits and hyphens follow.
    type: str
    required: true
  arm:
    description:
      - The technology.
    type: str
    required: true
  state:
    description:
      - With V(present), the instance is there and runs.
      - With V(stopped), it does not run; it must be there. What a guest without a disk of its own
        had written is lost.
      - With V(absent), all of it is gone. Disks given in O(kvm.disks) are not touched.
    type: str
    choices: [present, stopped, absent]
    default: present
  owner:
    description:
      - Who it belongs to, a lab or a run; part of the marker.
    type: str
    default: default
  vcpus:
    description:
      - Number of virtual CPUs, or of the host's CPUs that a container or a chroot is held to.
    type: int
    default: 1
  memory_mib:
    description:
      - Memory in MiB, of the machine or as a limit. There is no swap.
    type: int
    default: 256
  data_mib:
    description:
      - Size in MiB of a writable file system of its own at C(/mnt), which lies on the host's disk
        and goes with the instance; V(0) for none. The rest of an instance is written to memory.
      - A virtual machine gets it as its second disk, with an ext4. A container and a chroot get a
        folder of the host, which has no bound.
    type: int
    default: 0
  cpuset:
    description:
      - The host's CPUs for it, like V(1) or V(2-3). Without it, the last O(vcpus) CPUs of the host.
    type: str
  image:
    description:
      - The root file system and its exports, as paths on the host.
      - Needed with O(state=present), except for a machine that boots from a disk of its own
        (O(kvm.disks)).
    type: dict
    suboptions:
      rootfs:
        description: Block device or raw file with the ext4 root file system, used read-only.
        type: path
        required: true
      kernel:
        description: Kernel of virtual machines.
        type: path
        default: ""
      initrd:
        description: Small initrd of virtual machines.
        type: path
        default: ""
      container:
        description: Image archive that is loaded into Docker when its image is not there.
        type: path
        default: ""
      reference:
        description: Name of the container image.
        type: str
        default: ""
      digest:
        description: Tree digest of the root file system, V(sha256:...).
        type: str
        default: ""
  command:
    description:
      - The application and its arguments, started with the instance. Without it, the instance
        idles.
    type: list
    elements: str
    default: []
  recreate:
    description:
      - Replace an instance that has other parameters than these. Otherwise that is an error which
        names what differs.
    type: bool
    default: false
  wait:
    description:
      - Wait until commands can be run in it. A machine without O(image) is not waited for.
    type: bool
    default: true
  timeout_s:
    description:
      - The longest that each step (start, wait, stop, remove) may take, in seconds. It must fit the
        host's speed; a nested host without hardware support takes ten times as long.
    type: float
    default: 300
  docker:
    description:
      - What only O(arm=docker) understands.
    type: dict
    suboptions:
      base_url:
        description: Where the daemon is, V(unix:///run/docker.sock) by default.
        type: str
      runtime:
        description: The OCI runtime; the daemon's default without it.
        type: str
  kvm:
    description:
      - What only O(arm=kvm) understands.
    type: dict
    suboptions:
      uri:
        description: The libvirt daemon, V(qemu:///system) by default; no other is ever tried.
        type: str
      domain_type:
        description: >-
          V(kvm) by default; V(qemu) is emulation, which is not the arm but can carry a lab's
          node.
        type: str
        choices: [kvm, qemu]
      machine:
        description: QEMU's machine type, V(pc) by default.
        type: str
      cpu_mode:
        description: The virtual CPU, V(host-passthrough) by default.
        type: str
        choices: [host-passthrough, maximum, custom]
      cpu_model:
        description: Name of the model with O(kvm.cpu_mode=custom).
        type: str
      cpu_disabled_features:
        description: Features that the virtual CPU shall not have.
        type: list
        elements: str
      vcpu_pin:
        description: One list of host CPUs for each vCPU.
        type: list
        elements: str
      tcg_tb_size_mib:
        description: Size of the emulator's cache of translated code.
        type: int
      persistent:
        description: Whether libvirt keeps its definition when it is stopped.
        type: bool
      disks:
        description: >-
          Virtio disks after the root file system, or to boot from when there is no O(image).
        type: list
        elements: dict
        suboptions:
          path:
            description: Block device or image file.
            type: path
            required: true
          format:
            description: V(raw) by default.
            type: str
            choices: [raw, qcow2]
          serial:
            description: Up to 20 characters; in the machine it is C(/dev/disk/by-id/virtio-SERIAL).
            type: str
          readonly:
            description: Whether the machine can't write to it.
            type: bool
          cache:
            description: V(none) by default, which a file system without O_DIRECT can't do.
            type: str
            choices: [none, writeback, writethrough, directsync, unsafe]
      network:
        description: The libvirt network; V(vcompare) by default for an instance with O(image).
        type: str
      mac:
        description: Hardware address of its card there; follows from its address by default.
        type: str
      user_network:
        description: A card in QEMU's user network, which needs no bridge.
        type: dict
        suboptions:
          hostfwd:
            description: >-
              Forwarded ports, each as address and port of the host and port of the machine.
            type: list
            elements: list
          restrict:
            description: Whether nothing but the forwarded ports gets through.
            type: bool
          mac:
            description: Hardware address of this card.
            type: str
      kernel:
        description: Kernel to boot, when there is no O(image).
        type: path
      initrd:
        description: Initrd for it.
        type: path
      cmdline:
        description: The kernel's command line; with O(image), more words at its end.
        type: str
      console_log:
        description: Where its console is logged; in the instance's state folder by default.
        type: path
      metadata:
        description: More attributes of the marker in the domain's metadata.
        type: dict
      seclabel:
        description: C(model), C(label) and C(relabel) of libvirt's seclabel element.
        type: dict
      oem_strings:
        description: SMBIOS strings of type 11.
        type: list
        elements: str
      qemu_args:
        description: More arguments for QEMU.
        type: list
        elements: str
  xen:
    description:
      - What only O(arm=xen-pv), O(arm=xen-pvh) and O(arm=xen-hvm) understand.
    type: dict
    suboptions:
      cmdline:
        description: More words at the end of the kernel's command line.
        type: str
      config:
        description: More settings of xl.cfg(5), or other values than ours.
        type: dict
notes:
  - Runs on the host of the arm, as root, with the system's own Python (which has C(libvirt) and
    C(docker) from Debian's packages python3-libvirt and python3-docker).
seealso:
  - module: vcompare.lab.instance_info
"""

EXAMPLES = r"""
- name: A guest of KVM with a small application
  vcompare.lab.instance:
    name: vc-web
    arm: kvm
    memory_mib: 256
    image:
      rootfs: /dev/disk/by-id/virtio-vc-rootfs
      kernel: /run/vcompare/kit/vmlinux
      initrd: /run/vcompare/kit/initrd.img
    command: [redis-server, --bind, 0.0.0.0, --protected-mode, "no"]
  become: true
  register: web

- name: The same as a container
  vcompare.lab.instance:
    name: vc-web-docker
    arm: docker
    image:
      rootfs: /dev/disk/by-id/virtio-vc-rootfs
      container: /run/vcompare/kit/container.tar
      reference: vcompare/guest:0123456789ab
    command: [redis-server, --bind, 0.0.0.0, --protected-mode, "no"]
  become: true

- name: No trace of it
  vcompare.lab.instance:
    name: vc-web
    arm: kvm
    state: absent
  become: true
"""

RETURN = r"""
instance:
  description: What the instance is now.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: vc-web
    arm:
      description: Its technology.
      type: str
      sample: kvm
    state:
      description: V(absent), V(stopped), V(running) or V(broken) (half-made).
      type: str
      sample: running
    owner:
      description: Who it belongs to; empty when it is absent.
      type: str
      sample: default
    address:
      description: IPv4 address that the host reaches it at.
      type: str
      sample: 10.213.20.77
    vcpus:
      description: Number of its CPUs; null when it does not run.
      type: int
      sample: 1
    memory_mib:
      description: Its memory in MiB; null when it does not run.
      type: int
      sample: 256
    details:
      description: The arm's own words, like a container's id or a domain's uuid.
      type: dict
differences:
  description: Names of the parameters in which the instance that was there differed.
  returned: success
  type: list
  elements: str
  sample: [memory_mib]
create_s:
  description: Seconds that making and starting it took; null when that was not done.
  returned: success
  type: float
  sample: 0.42
ready_s:
  description: >-
    Seconds after that until a command could be run in it; null when it was not waited for.
  returned: success
  type: float
  sample: 1.91
remedy:
  description: What can be done about a failure; empty when unknown.
  returned: failure
  type: str
evidence:
  description: What was seen of a failure, like the last lines of a console.
  returned: failure
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms import registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base, describe
from ansible_collections.vcompare.lab.plugins.module_utils._arms.plain import (
    check_ours,
    info_as_dict,
    spec_of,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Info, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

Result = dict[str, t.Any]


def _present(backend: Base, spec: InstanceSpec, params: Result, before: Info, act: bool) -> Result:
    reason = backend.available()
    if reason:
        raise BackendError(f"{backend.arm}: {reason}")
    spec = backend.resolve(spec)
    differences = {} if before.state == "broken" else backend.differences(spec)
    if differences and not params["recreate"]:
        told = ", ".join(
            f"{key} is {old!r}, not {new!r}" for key, (old, new) in differences.items()
        )
        raise BackendError(
            f"{spec.name} exists already with other parameters: {told}",
            remedy="Give recreate: true to replace it, or another name.",
        )
    replace = bool(differences) or before.state == "broken"
    result: Result = {
        "changed": replace or before.state != "running",
        "differences": sorted(differences),
        "after": {"state": "running", **describe(spec)},
    }
    if not act:
        return result
    timeout_s = params["timeout_s"]
    if replace:
        backend.destroy(spec.name, timeout_s)
    if result["changed"]:
        backend.prepare(spec)
        begin = time.monotonic()
        backend.create(spec, timeout_s)
        result["create_s"] = round(time.monotonic() - begin, 4)
    if params["wait"] and spec.image is not None:
        result["ready_s"] = round(backend.wait_ready(spec, timeout_s), 4)
    return result


def _stopped(backend: Base, spec: InstanceSpec, params: Result, before: Info, act: bool) -> Result:
    if before.state == "absent":
        raise BackendError(
            f"{spec.name} can't be stopped: there is no such instance of {backend.arm}",
            remedy="Make it first (state: present).",
        )
    if act and before.state != "stopped":
        backend.stop(spec.name, params["timeout_s"])
    return {"changed": before.state != "stopped", "after": {"state": "stopped"}}


def _absent(backend: Base, spec: InstanceSpec, params: Result, before: Info, act: bool) -> Result:
    if act:
        # what a killed attempt left may be known to nothing but the journal
        changed = backend.destroy(spec.name, params["timeout_s"])
        backend.tidy(params["timeout_s"])
        return {"changed": changed, "after": {"state": "absent"}}
    return {"changed": before.state != "absent", "after": {"state": "absent"}}


def _before(backend: Base, before: Info) -> Result:
    record = backend.store.read(before.name) if before.state != "absent" else None
    return {"state": before.state, **((record or {}).get("spec") or {})}


def run(params: Result, act: bool) -> Result:
    """Bring the instance into its state; return the module's result.

    :param act: whether to do it, or only to say what would be done.
    """
    spec = spec_of(params)
    backend = registry.backend(params["arm"], spec.options)
    before = backend.info(spec.name)
    check_ours(before, spec.owner)
    shown = _before(backend, before)
    verb = {"present": _present, "stopped": _stopped, "absent": _absent}[params["state"]]
    result: Result = {"differences": [], "create_s": None, "ready_s": None}
    result.update(verb(backend, spec, params, before, act))
    after = result.pop("after")
    if params["state"] == "stopped":
        after = {**shown, **after}
    result["diff"] = {"before": shown, "after": after if result["changed"] else shown}
    result["instance"] = info_as_dict(backend.info(spec.name) if act else before)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "arm": {
                "type": "str",
                "required": True,
                "choices": list(ARMS),
            },
            "state": {
                "type": "str",
                "choices": ["present", "stopped", "absent"],
                "default": "present",
            },
            "owner": {"type": "str", "default": "default"},
            "vcpus": {"type": "int", "default": 1},
            "memory_mib": {"type": "int", "default": 256},
            "data_mib": {"type": "int", "default": 0},
            "cpuset": {"type": "str"},
            "image": {
                "type": "dict",
                "options": {
                    "rootfs": {"type": "path", "required": True},
                    "kernel": {"type": "path", "default": ""},
                    "initrd": {"type": "path", "default": ""},
                    "container": {"type": "path", "default": ""},
                    "reference": {"type": "str", "default": ""},
                    "digest": {"type": "str", "default": ""},
                },
            },
            "command": {"type": "list", "elements": "str", "default": []},
            "recreate": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "timeout_s": {"type": "float", "default": 300},
            "docker": {
                "type": "dict",
                "options": {"base_url": {"type": "str"}, "runtime": {"type": "str"}},
            },
            "kvm": {
                "type": "dict",
                "options": {
                    "uri": {"type": "str"},
                    "domain_type": {"type": "str", "choices": ["kvm", "qemu"]},
                    "machine": {"type": "str"},
                    "cpu_mode": {
                        "type": "str",
                        "choices": ["host-passthrough", "maximum", "custom"],
                    },
                    "cpu_model": {"type": "str"},
                    "cpu_disabled_features": {"type": "list", "elements": "str"},
                    "vcpu_pin": {"type": "list", "elements": "str"},
                    "tcg_tb_size_mib": {"type": "int"},
                    "persistent": {"type": "bool"},
                    "disks": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "path": {"type": "path", "required": True},
                            "format": {"type": "str", "choices": ["raw", "qcow2"]},
                            "serial": {"type": "str"},
                            "readonly": {"type": "bool"},
                            "cache": {
                                "type": "str",
                                "choices": [
                                    "none",
                                    "writeback",
                                    "writethrough",
                                    "directsync",
                                    "unsafe",
                                ],
                            },
                        },
                    },
                    "network": {"type": "str"},
                    "mac": {"type": "str"},
                    "user_network": {
                        "type": "dict",
                        "options": {
                            "hostfwd": {"type": "list", "elements": "list"},
                            "restrict": {"type": "bool"},
                            "mac": {"type": "str"},
                        },
                    },
                    "kernel": {"type": "path"},
                    "initrd": {"type": "path"},
                    "cmdline": {"type": "str"},
                    "console_log": {"type": "path"},
                    "metadata": {"type": "dict"},
                    "seclabel": {"type": "dict"},
                    "oem_strings": {"type": "list", "elements": "str"},
                    "qemu_args": {"type": "list", "elements": "str"},
                },
            },
            "xen": {
                "type": "dict",
                "options": {"cmdline": {"type": "str"}, "config": {"type": "dict"}},
            },
        },
        supports_check_mode=True,
    )
    try:
        result = run(module.params, act=not module.check_mode)
    except BackendError as error:
        module.fail_json(msg=error.message, remedy=error.remedy, evidence=error.evidence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
