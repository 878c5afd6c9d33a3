#!/usr/bin/env bash
# A comparison beside which every processor of the machine below is kept busy for seconds, and left alone for seconds, by
# turns: whatever it measures, its verdicts must not be made of that.
# usage: tests/e2e/noise.sh BLOCKS (VCOMPARE_HOME names the home of a lab)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
readonly blocks=${1:?how many blocks}
mark=$(mktemp)
hogs=0

# Nothing but this shell's own children is ended.
make_noise() {
    while sleep 7; do
        for _ in $(seq "$(nproc)"); do timeout 11 sh -c 'while :; do :; done' & done
        wait
    done
}
end() {
    ((hogs)) && kill -- "-$hogs" 2>/dev/null
    rm -f "$mark"
}
trap end EXIT
trap 'exit 130' INT TERM

# The lab comes up first: what is to be noisy is the measuring.
.venv/bin/vcompare lab up || exit 1
set -m
make_noise &
hogs=$!
set +m
.venv/bin/vcompare compare --profile smoke --blocks "$blocks" --arms bare,docker --scenarios cpu --claims tests/e2e/noise.yml
code=$?
run=$(find "$VCOMPARE_HOME/runs" -mindepth 1 -maxdepth 1 -newer "$mark" | sort | tail -n 1)
# 3: the report is there, and arms were refused, as they have to be here.
((code == 0 || code == 3)) || { echo "the comparison ended with $code" && exit 1; }
.venv/bin/python tests/e2e/undecided.py "$run" --claims the-same,slower --gate foreign-load
