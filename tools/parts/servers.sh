#!/usr/bin/env bash
# Plain Debian servers behind a jump host, as users have them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Images are kept there by their recipe; the servers themselves are always new.
home=${VCOMPARE_TEST_HOME:-$VCOMPARE_TEST_WORK/home}
mkdir -p "$home"
VCOMPARE_TEST_SHOW=1 check "plain servers, reached by a hand-written inventory" \
    env VCOMPARE_HOME="$home" PYTHONPATH=playbooks/collections .venv/bin/python tests/servers/machines.py \
    --home "$home" --folder "$VCOMPARE_TEST_WORK/servers" plain-12 plain-13 -- tests/servers/cases.sh
