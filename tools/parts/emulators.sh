#!/usr/bin/env bash
# Boots the guest images' kernels under each QEMU of VCOMPARE_TEST_EMULATORS (default: this machine's), as nodes have it.
# The home with the images is VCOMPARE_TEST_HOME; for a second release, build its image there first.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra emulators <<<"${VCOMPARE_TEST_EMULATORS:-qemu-system-x86_64}"
VCOMPARE_TEST_SHOW=1 check "every emulator boots every kernel" \
    env VCOMPARE_HOME="${VCOMPARE_TEST_HOME:?names a home with guest images}" PYTHONPATH=playbooks/collections \
    .venv/bin/python tests/faults/emulators.py "${emulators[@]}"
