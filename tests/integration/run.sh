#!/usr/bin/env bash
# Every module and role on real daemons, in the nodes of a nested lab.
source "$(dirname "${BASH_SOURCE[0]}")/../lab.sh"

readonly playbook=.venv/bin/ansible-playbook

target() { "$playbook" tests/integration/playbooks/target.yml -i inventories/nested -e target="$1"; }

# Provisioning a second time must change nothing; the snapshot would hide that, so it is asked to look.
provision_again() {
    "$playbook" playbooks/provision.yml -i inventories/nested -e vcompare_lab_provisioned=false |
        tee "$VCOMPARE_TEST_WORK/again.log"
    ((PIPESTATUS[0] == 0)) || return 1
    grep -E '^lab-(linux|xen) ' "$VCOMPARE_TEST_WORK/again.log" | grep -vq 'changed=0' && {
        echo "provisioning again changed something" && return 1
    }
    return 0
}

# Its service says that it is ready once the machine is made (roles/nested_lab/files/vcompare-hold-kvm.py).
machine_kept() {
    .venv/bin/ansible lab-linux -i inventories/nested -m ansible.builtin.command \
        -a 'systemctl is-active vcompare-hold-kvm.service'
}

# A machine of a lab of this home whose folder is gone is found and taken away; one without our marker is not touched.
doctor_mends() {
    local lost=vc-lost-0-lab-linux stranger=vc-stranger owner
    owner=$(PYTHONPATH=playbooks/collections .venv/bin/python -c '
import sys
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
print(Lab(sys.argv[1], "lost").owner)' "$VCOMPARE_HOME") || return 1
    # The lab that runs has nothing wrong.
    .venv/bin/vcompare lab doctor || return 1
    # shellcheck disable=SC2064 # the name as it is now
    trap "virsh -q undefine $stranger 2>/dev/null; virsh -q undefine $lost 2>/dev/null" RETURN
    machine "$lost" "<metadata><vcompare:owner xmlns:vcompare='https://vcompare.org/xmlns/lab/1'>$owner</vcompare:owner></metadata>" &&
        machine "$stranger" "" || return 1
    code_is 1 .venv/bin/vcompare lab doctor && .venv/bin/vcompare lab doctor --fix || return 1
    virsh -q dominfo "$stranger" >/dev/null || { echo "what is not ours was taken away" && return 1; }
    ! virsh -q dominfo "$lost" &>/dev/null || { echo "$lost is still there" && return 1; }
    [[ ! -e $VCOMPARE_HOME/labs/lost ]] || { echo "labs/lost is still there" && return 1; }
    .venv/bin/vcompare lab doctor
}

machine() {
    virsh -q define /dev/stdin <<<"<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory>$2<os><type arch='x86_64'>hvm</type></os></domain>"
}

taken_away() {
    .venv/bin/vcompare lab down || return 1
    [[ ! -e $VCOMPARE_HOME/labs/default ]] || { echo "the lab's folder is still there" && return 1; }
    local domains
    domains=$(virsh -q list --all --name 2>/dev/null | grep -- "$1" || true)
    [[ -z $domains ]] || { echo "domains are left: $domains" && return 1; }
    # The second time there is nothing to do, and that is not an error.
    .venv/bin/vcompare lab down
}

if step "the lab is up" .venv/bin/vcompare lab up; then
    step "provisioning again changes nothing" provision_again
    step "the node of KVM keeps a machine" machine_kept
    step "the doctor finds what is lost, and takes away what is ours" doctor_mends
    for folder in tests/integration/targets/*/; do
        step "target $(basename "$folder")" target "$(basename "$folder")"
    done
fi
owner=$(.venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["owner"])' "$VCOMPARE_HOME/labs/default/state.json" 2>/dev/null)
step "the lab is taken away, and nothing is left" taken_away "${owner:-no-lab}"
finish
