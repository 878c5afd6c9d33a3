#!/usr/bin/env bash
# Measures how fast our own code is: each file of tests/bench prints its figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

found=0
for file in tests/bench/bench_*.py; do
    [[ -e $file ]] || continue
    found=1
    printf '== %s\n' "${file##*/}"
    PYTHONPATH=.:playbooks/collections .venv/bin/python "$file" "$@"
done
((found)) || { echo "bench: there is no tests/bench/bench_*.py" >&2; exit 1; }
