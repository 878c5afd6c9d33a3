# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A tiny checkout for tests of the command line: real Ansible, real ansible-runner, work of a moment.

Its playbooks run on localhost. Its ``vcompare.lab.measure`` writes finished blocks into the bundle as the real one
does, taken from a bundle that ``synthetic.py`` made up.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

COMPARE = """\
- name: "check: what this machine has"
  hosts: localhost
  gather_facts: false
  tasks:
    - name: look
      ansible.builtin.debug:
        msg: looked
- name: "measure: {{ vcompare_profile }}"
  hosts: lab-linux:lab-xen
  gather_facts: false
  tasks:
    - name: a block
      vcompare.lab.measure:
        source: "{{ lookup('ansible.builtin.env', 'TEST_SOURCE') }}"
        target: "{{ vcompare_home }}/runs/{{ vcompare_run }}"
        run: "{{ vcompare_run }}"
        host: "{{ inventory_hostname }}"
        block: "{{ item }}"
        fail_at: "{{ lookup('ansible.builtin.env', 'TEST_FAIL_AT') | default('0', true) }}"
      loop: "{{ range(1, vcompare_blocks | int + 1) | list }}"
      throttle: 1
"""

STATUS = """\
- name: "lab: what there is"
  hosts: localhost
  gather_facts: false
  tasks:
    - name: "lab: status"
      ansible.builtin.set_fact:
        unused: true
    - name: "lab: status"
      vcompare.lab.lab_state:
        name: "{{ vcompare_lab }}"
"""

# Deaf to polite signals, as a hung tool may be.
SLEEP = """\
- name: "lab: wait for a long time"
  hosts: localhost
  gather_facts: false
  tasks:
    - name: sleep
      ansible.builtin.shell: trap '' INT TERM; echo $$ > "{{ vcompare_home }}/sleeper"; while :; do sleep 1; done
"""

FAIL = """\
- name: "down: take it away"
  hosts: localhost
  gather_facts: false
  tasks:
    - name: rescued
      block:
        - name: fails but is rescued
          ansible.builtin.fail:
            msg: this one does not matter
      rescue:
        - name: go on
          ansible.builtin.debug:
            msg: went on
    - name: take the nodes away
      vcompare.lab.fails:
        secret: hunter2
"""

MEASURE_MODULE = """\
import json, os
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(argument_spec=dict(
        source=dict(type="path"), target=dict(type="path"), run=dict(), host=dict(), block=dict(type="int"),
        fail_at=dict(type="int")))
    p = module.params
    if p["fail_at"] == p["block"]:
        module.fail_json(msg="the node went away in block %d" % p["block"], remedy="look at its console",
                         evidence="line one\\nkernel panic")
    read = lambda name: [json.loads(line) for line in open(os.path.join(p["source"], name))]
    manifest = json.load(open(os.path.join(p["source"], "manifest.json")))
    blocks = manifest["profile"]["blocks"]
    path = os.path.join(p["target"], "manifest.json")
    last = p["block"] == blocks and p["host"] == "lab-xen"
    if last or not os.path.exists(path):
        manifest.update(run=p["run"], finished_at="2026-11-24T10:51:12Z" if last else None)
        json.dump(manifest, open(path, "w"))
    arms, samples = [], 0
    done = os.path.join(p["target"], "blocks.jsonl")
    key = (p["block"], p["host"])
    if os.path.exists(done) and any((b["block"], b["host"]) == key for b in map(json.loads, open(done))):
        module.exit_json(block=p["block"], blocks=blocks, host=p["host"], arms=[], samples=0, skipped=True)
    for name in ("samples.jsonl", "proofs.jsonl", "blocks.jsonl"):
        with open(os.path.join(p["target"], name), "a") as out:
            for record in read(name):
                if (record["block"], record["host"]) == (p["block"], p["host"]):
                    record["run"] = p["run"]
                    out.write(json.dumps(record) + "\\n")
                    samples += name == "samples.jsonl"
                    if name == "blocks.jsonl":
                        arms = record["arms"]
    module.exit_json(changed=True, block=p["block"], blocks=blocks, host=p["host"], arms=arms, samples=samples,
                     skipped=False)

main()
"""

STATE_MODULE = """\
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(argument_spec=dict(name=dict()))
    module.exit_json(lab=dict(name=module.params["name"], state="running", accel="tcg", provisioned=True,
        folder="/somewhere", nodes=[dict(name="lab-linux", state="running", address="127.0.10.11", port=2222)],
        objects=[dict(kind="domain", name="vc-default-linux")]))

main()
"""

FAILS_MODULE = """\
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(argument_spec=dict(secret=dict(no_log=True)))
    module.fail_json(msg="the node lab-xen did not stop within 60 s", remedy="run it again with --lab default",
                     evidence="[  12.3] reboot: System halted")

main()
"""

PROFILES = """\
measure_profiles:
  quick: {description: a first answer, blocks: 5, iterations: 3, seconds: 2, scenarios: [startup, cpu]}
  timed: {description: in its time, blocks: 1, max_blocks: 5, within_s: 1200, iterations: 1, scenarios: [startup, cpu]}
  smoke: {description: does it work, blocks: 2, iterations: 1, seconds: 1, scenarios: [startup, cpu]}
"""

INVENTORY = """\
[lab_servers]
localhost
[bare_hosts]
lab-linux
[docker_hosts]
lab-linux
[xen_hosts]
lab-xen
[lab_nodes]
lab-linux
lab-xen
[all:vars]
ansible_connection=local
ansible_python_interpreter={python}
"""


@dataclasses.dataclass(frozen=True)
class Checkout:
    """The tiny checkout."""

    root: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vcompare_runner", *arguments]

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        keep = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ANSIBLE_", "VCOMPARE_"))
        }
        return {**keep, "VCOMPARE_HOME": str(home), "PYTHONPATH": str(self.root), **more}

    def run(self, home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``vcompare`` as a user would, off a terminal."""
        return subprocess.run(
            self.command(*arguments),
            cwd=home.parent,
            env=self.environment(home, **more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def popen(self, home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=home.parent,
            env=self.environment(home, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )


def make_checkout(root: Path, repository: Path) -> Checkout:
    """Write the tiny checkout, with a copy of the package of ``repository``."""
    shutil.copytree(
        repository / "vcompare_runner",
        root / "vcompare_runner",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    modules = "playbooks/collections/ansible_collections/vcompare/lab/plugins/modules"
    files: dict[str, t.Any] = {
        "playbooks/compare.yml": COMPARE,
        "playbooks/lab_status.yml": STATUS,
        "playbooks/lab_ready.yml": SLEEP,
        "playbooks/lab_down.yml": FAIL,
        f"{modules}/measure.py": MEASURE_MODULE,
        f"{modules}/lab_state.py": STATE_MODULE,
        f"{modules}/fails.py": FAILS_MODULE,
        "roles/measure/vars/profiles.yml": PROFILES,
        "roles/nested_lab/defaults/main.yml": "nested_lab_memory_mib: 2560\nnested_lab_disk_mib: 8192\n",
        "inventories/nested/hosts.ini": INVENTORY.format(python=sys.executable),
        "ansible.cfg": "[defaults]\nhost_key_checking = True\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Checkout(root)
