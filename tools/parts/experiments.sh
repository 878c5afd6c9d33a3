#!/usr/bin/env bash
# The experiments, on real daemons inside the nodes of a nested lab.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VCOMPARE_TEST_SHOW=1 check "every experiment, on nested nodes" tests/experiments/run.sh
