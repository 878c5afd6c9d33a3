#!/usr/bin/env bash
# Pure logic, and whatever needs no daemon.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VCOMPARE_TEST_SHOW=1 check "pytest" pytest -q -p no:cacheprovider tests/unit
