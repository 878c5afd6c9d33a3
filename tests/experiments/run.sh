#!/usr/bin/env bash
# Every experiment on real daemons, each at its smallest: one block, in runs of a few scenarios, so that a node which goes
# silent costs one of them and says which. Arms that have them: docker, kvm, xen-pv, xen-pvh, xen-hvm.
# usage: VCOMPARE_TEST_ARMS="docker kvm" VCOMPARE_TEST_SCENARIOS="churn isolation" (both may be left out)
source "$(dirname "${BASH_SOURCE[0]}")/../lab.sh"

read -ra arms <<<"${VCOMPARE_TEST_ARMS:-docker}"
# What is short goes together. Without density, which fills the node for a quarter of an hour, and full-start, whose image
# is built and brought for minutes.
read -ra groups <<<"${VCOMPARE_TEST_SCENARIOS:-startup,memory-latency,memcached,footprint,disk,network \
churn,containment isolation ten-apps,delivery image-history,image-build,consistency two-kernels,os-variety \
snapshots,pool,cold-start}"

# A run in which something was refused ends with 3: some experiments are impossible in some arms.
experiments() {
    local arm=$1 scenarios=$2 mark code
    mark=$(mktemp "$VCOMPARE_TEST_WORK/mark.XXXXXX")
    sleep 1.1
    .venv/bin/vcompare compare --profile full --blocks 1 --arms "bare,$arm" --scenarios "$scenarios" --keep-running
    code=$?
    ((code == 0 || code == 3)) || { echo "the comparison ended with $code" && return 1; }
    .venv/bin/python tests/experiments/check.py "$(run_of "$mark")" --arms "$arm" --scenarios "$scenarios"
}

for arm in "${arms[@]}"; do
    for group in "${groups[@]}"; do
        step "$arm: $group" experiments "$arm" "$group"
    done
done
finish
