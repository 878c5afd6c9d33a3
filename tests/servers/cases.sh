#!/usr/bin/env bash
# What a user does with plain servers. machines.py starts it, with the servers up.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
: "${SERVERS_FOLDER:?}" "${SERVERS_INVENTORY:?}"
export PATH=$PWD/.venv/bin:$PATH NO_COLOR=1 ANSIBLE_FORCE_COLOR=false

passed=0 failed=0

# step NAME COMMAND...: runs it, shows the result, and counts.
step() {
    local name=$1 started=$SECONDS
    shift
    if ("$@"); then
        passed=$((passed + 1))
        printf -- '-- ok: %s (%d s)\n' "$name" $((SECONDS - started))
    else
        failed=$((failed + 1))
        printf -- '-- FAILED: %s (%d s)\n' "$name" $((SECONDS - started))
        return 1
    fi
}

on_servers() { ansible -i "$SERVERS_INVENTORY" servers "$@"; }

# Root by sudo with the vault's password on each, and through the jump host.
reached() {
    local roots
    roots=$(on_servers -o -m ansible.builtin.command -a 'id -un' | tee /dev/stderr | grep -c 'CHANGED | rc=0 | (stdout) root$')
    ((roots == $(servers | wc -l))) && grep -q 'Accepted publickey' "$SERVERS_FOLDER/jump.log"
}

servers() { ansible -i "$SERVERS_INVENTORY" servers --list-hosts | sed -n 's/^ \+\([^ ]*\)$/\1/p'; }

# Without its password sudo does nothing: that the run above became root is the password's doing.
password_counts() {
    ! on_servers -e ansible_become_password=wrong -m ansible.builtin.command -a true >"$SERVERS_FOLDER/wrong" 2>&1 &&
        grep -qi 'password' "$SERVERS_FOLDER/wrong"
}

step "root on each server, by sudo with a password, through the jump host" reached || exit 1
step "sudo asks for the password" password_counts
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
