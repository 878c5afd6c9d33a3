#!/usr/bin/env bash
# Pure logic, and whatever needs no daemon.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Debian's binding of libvirt, where .venv has the Python that it was built for.
binding=$VCOMPARE_TEST_WORK/binding
mkdir -p "$binding"
if cmp -s <(/usr/bin/python3 -VV) <(.venv/bin/python -VV); then
    find /usr/lib/python3/dist-packages -maxdepth 1 -name 'libvirt*' -type f -exec ln -st "$binding" {} +
fi
VCOMPARE_TEST_SHOW=1 PYTHONPATH=$binding check "pytest" \
    pytest -q -p no:cacheprovider --durations=50 --numprocesses "$(nproc)" --dist loadfile tests/unit
