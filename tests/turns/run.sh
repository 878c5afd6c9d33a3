#!/usr/bin/env bash
# One nested node that takes turns: plain Linux for bare, Docker and KVM, and Xen for Xen's arm; from nothing to the report, and
# interrupted in the middle of a group.
source "$(dirname "${BASH_SOURCE[0]}")/../lab.sh"

readonly vcompare=.venv/bin/vcompare arms="bare,docker,kvm,xen-pvh"
readonly asked=(--nodes 1 --arms "$arms" --profile smoke --scenarios "startup,cpu,syscall")
checked() { .venv/bin/python tests/e2e/bundle.py --ended "$1" "$2" --proven "$arms" --blocks "$3" && .venv/bin/python tests/turns/bundle.py "$2" "$3"; }

planned() {
    local said
    said=$("$vcompare" compare "${asked[@]}" --dry-run) || return 1
    echo "$said"
    [[ $said == *"2 blocks at a time: 2 reboots"* && $said == *"lab-linux+xen"* ]]
}

from_nothing() {
    "$vcompare" compare "${asked[@]}" --seed 7
    checked $? "$(run_of "$mark")" 2
}

# The node is in Xen then, and the lab's snapshot in plain Linux.
interrupted() {
    local process run code
    setsid "$vcompare" compare "${asked[@]}" --seed 8 &
    process=$!
    first_block "$process" "$mark" || return 1
    until grep -q '"boot":"xen"' "$run/blocks.jsonl"; do
        kill -0 "$process" 2>/dev/null || { echo "it ended before its first block in Xen" && return 1; }
        sleep 1
    done
    kill -INT "$process"
    wait "$process"
    code=$?
    ((code == 130)) || { echo "ended with $code instead of 130" && return 1; }
    "$vcompare" compare --resume "$(basename "$run")"
    checked $? "$run" 2
}

mark=$(mktemp "$VCOMPARE_TEST_WORK/mark.XXXXXX")
step "a plan says how often the node is rebooted" planned
touch "$mark" && sleep 1.1
if step "one node in turns, from nothing to its report" from_nothing; then
    touch "$mark" && sleep 1.1
    step "interrupted within a group, and resumed" interrupted
fi
"$vcompare" lab down
finish
