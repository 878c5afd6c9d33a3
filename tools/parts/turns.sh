#!/usr/bin/env bash
# One node of a nested lab that takes turns between plain Linux and Xen.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VCOMPARE_TEST_SHOW=1 check "one node in turns, on a nested lab" tests/turns/run.sh
