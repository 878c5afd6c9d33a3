#!/usr/bin/env bash
# Kills a lab that is coming up after each record of its journal in turn; then strikes one that runs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export VCOMPARE_HOME=${VCOMPARE_TEST_HOME:-$VCOMPARE_TEST_WORK/home}
mkdir -p "$VCOMPARE_HOME"
# The images first, so that what is killed is a lab that comes up.
VCOMPARE_TEST_SHOW=1 check "a lab to learn how it comes up" sh -c \
    '.venv/bin/vcompare lab up --lab faults && .venv/bin/vcompare lab down --lab faults'
VCOMPARE_TEST_SHOW=1 check "killed after each record, and taken down" \
    .venv/bin/python tests/faults/kill.py --then down
VCOMPARE_TEST_SHOW=1 check "killed after each record, and its nodes run" \
    .venv/bin/python tests/faults/kill.py --then nodes
VCOMPARE_TEST_SHOW=1 check "killed half-way, and brought up" \
    .venv/bin/python tests/faults/kill.py --then up --records 5
VCOMPARE_TEST_SHOW=1 check "a lab that runs, and is struck" tests/faults/running.sh
