#!/usr/bin/env bash
# Plain Debian servers behind a jump host, as users have them; VCOMPARE_TEST_SERVERS=short takes one of them and Docker alone.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Images are kept there by their recipe; the servers themselves are always new.
home=${VCOMPARE_TEST_HOME:-$VCOMPARE_TEST_WORK/home}
mkdir -p "$home"

# servers NAME CASE SERVER...
servers() {
    local name=$1 case=$2
    shift 2
    VCOMPARE_TEST_SHOW=1 check "$name" env VCOMPARE_HOME="$home" PYTHONPATH=playbooks/collections \
        .venv/bin/python tests/servers/machines.py --home "$home" --folder "$VCOMPARE_TEST_WORK/servers-$case" "$@" -- "tests/servers/$case.sh"
}

if [[ ${VCOMPARE_TEST_SERVERS:-whole} == short ]]; then
    servers "one plain server, Docker, and its release" short plain-12
    exit
fi
servers "two plain servers, five arms, and their release" whole plain-12 plain-13
servers "a server in use: Docker CE, a container of others, /boot on LVM" site site-12
servers "what goes wrong at servers" faults plain-12 plain-13
servers "a server that others manage" managed plain-12
servers "a new machine: cloned, set up, and itself compared" clone plain-12
