#!/usr/bin/env bash
# The whole path: a comparison from nothing to its report.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VCOMPARE_TEST_SHOW=1 check "a comparison from nothing to its report" tests/e2e/run.sh
