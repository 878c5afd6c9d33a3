#!/usr/bin/env bash
# Real daemons, inside the nodes of a nested lab.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VCOMPARE_TEST_SHOW=1 check "modules and roles on nested nodes" tests/integration/run.sh
