#!/usr/bin/env bash
# The main job for real: from nothing to a report, again from the snapshot, without the wrapper,
# interrupted and resumed, beside noise, and with an arm that is broken on purpose.
source "$(dirname "${BASH_SOURCE[0]}")/../lab.sh"

readonly vcompare=.venv/bin/vcompare playbook=.venv/bin/ansible-playbook
# What the short profiles measure where nobody names any.
readonly all=bare,docker,kvm,xen-dom0,xen-pv,xen-pvh
readonly bundle=(.venv/bin/python tests/e2e/bundle.py)

created_at() { .venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["created_at"])' "$VCOMPARE_HOME/labs/default/state.json"; }

# Whatever a comparison ended with is for the bundle to judge: a busy machine below makes it 3.
from_nothing() {
    "$vcompare" compare --profile smoke --seed 7 --blocks 1
    "${bundle[@]}" --ended $? "$(run_of "$mark")" --proven "$all" --blocks 1
}

# The report of an interrupted and resumed run must have every block once.
interrupted() {
    local before process run code
    before=$(created_at)
    setsid "$vcompare" compare --profile smoke --blocks 2 --arms bare,docker --scenarios startup,cpu &
    process=$!
    first_block "$process" "$mark" || return 1
    kill -INT "$process"
    wait "$process"
    code=$?
    ((code == 130)) || { echo "ended with $code instead of 130" && return 1; }
    "$vcompare" lab status || return 1
    "$vcompare" compare --resume "$(basename "$run")"
    "${bundle[@]}" --ended $? "$run" --proven bare,docker --blocks 2 || return 1
    [[ $(created_at) == "$before" ]] || { echo "the lab was made again instead of started from its snapshot" && return 1; }
}

# With a secret where inventories have theirs; see no_secret_is_kept.
without_wrapper() {
    "$playbook" -e "ansible_become_password=$VCOMPARE_E2E_CANARY" playbooks/compare.yml -i inventories/nested -e vcompare_profile=smoke -e vcompare_blocks=1 \
        -e vcompare_arms=bare,docker,xen-dom0 -e vcompare_scenarios=startup,syscall -e vcompare_keep_running=true &&
        "${bundle[@]}" "$(run_of "$mark")" --proven bare,docker,xen-dom0 --blocks 1
}

# The nodes still run, so what is broken here is gone with the next start from the snapshot.
broken_arm() {
    ansible() { .venv/bin/ansible -i inventories/nested "$@"; }
    ansible lab-xen -m ansible.builtin.command -a 'dpkg --remove --force-depends xen-utils-common' &&
        "$playbook" playbooks/measure.yml playbooks/report.yml -i inventories/nested -e vcompare_profile=smoke \
            -e vcompare_blocks=1 -e vcompare_scenarios=cpu -e vcompare_arms=bare,docker,xen-dom0,xen-pv &&
        "${bundle[@]}" "$(run_of "$mark")" --proven bare,docker,xen-dom0 --refused xen-pv --blocks 1
}

# Whatever is kept beside the lab's own folder may be handed on: neither its key, nor our environment, nor a password of
# the inventory may be in it.
no_secret_is_kept() {
    local word found=0
    for word in "$VCOMPARE_E2E_CANARY" "$(sed -n 2p "$VCOMPARE_HOME/labs/default/keys/id_ed25519")"; do
        ((${#word} > 20)) || { echo "there is nothing to look for" && return 1; }
        # The key itself is looked for where it must be, too: a search that finds nothing anywhere would prove nothing.
        # Guest images are handed on, too; a node's keeps what this machine's apt needs, and stays in its home.
        grep -rlF -- "$word" "$VCOMPARE_HOME/runs" "$VCOMPARE_HOME/logs" "$VCOMPARE_HOME"/*.jsonl "$VCOMPARE_HOME"/images/guest-* \
            "$VCOMPARE_HOME"/images/*/*.json "$VCOMPARE_HOME/labs/default/journal.jsonl" \
            "$VCOMPARE_HOME/labs/default/state.json" 2>/dev/null && found=1
    done
    grep -qF -- "$word" "$VCOMPARE_HOME/labs/default/keys/id_ed25519" || found=1
    ((found == 0))
}

refused_before_anything() {
    local before after
    before=$(find "$VCOMPARE_HOME" | sort)
    code_is 2 "$vcompare" compare --arms bare,dokcer || return 1
    code_is 2 "$vcompare" compare --scenarios startupp || return 1
    code_is 2 "$vcompare" compare --profile qick || return 1
    code_is 2 "$vcompare" compare -i /nonexistent || return 1
    code_is 2 "$vcompare" compare --lab 'No Good' || return 1
    code_is 2 "$vcompare" compare --nodes 5 || return 1
    after=$(find "$VCOMPARE_HOME" | sort)
    [[ $before == "$after" ]] || { echo "something was made" && diff <(echo "$before") <(echo "$after") && return 1; }
}

VCOMPARE_E2E_CANARY=canary-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export VCOMPARE_E2E_CANARY
# The password of a proxy, in apt's settings: for a host that there is not, so that it is read and never used.
APT_CONFIG=$VCOMPARE_TEST_WORK/apt.conf
printf 'Acquire::http::Proxy::proxied.invalid "http://user:%s@proxy.invalid:3128";\n' "$VCOMPARE_E2E_CANARY" >"$APT_CONFIG"
export APT_CONFIG
mark=$(mktemp "$VCOMPARE_TEST_WORK/mark.XXXXXX")
next() { touch "$mark" && sleep 1.1; }

step "bad input is refused before anything is made" refused_before_anything
next
if step "a comparison from nothing to its report" from_nothing; then
    next
    step "interrupted and resumed, from the snapshot" interrupted
    step "noise beside the measuring decides nothing" tests/e2e/noise.sh 1
    next
    step "the same by playbook, without the wrapper" without_wrapper
    next
    step "one arm broken on purpose" broken_arm
    step "no secret is in what is kept" no_secret_is_kept
fi
finish
