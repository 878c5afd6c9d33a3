# shellcheck shell=bash
# What the tests on real daemons share: a home and a lab of their own. Sourced.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# A developer who keeps VCOMPARE_TEST_HOME saves building the images each time.
export VCOMPARE_HOME=${VCOMPARE_TEST_HOME:-${VCOMPARE_TEST_WORK:?set by tools/test.sh}/home}
export ANSIBLE_CONFIG=$PWD/ansible.cfg ANSIBLE_FORCE_COLOR=false NO_COLOR=1
mkdir -p "$VCOMPARE_HOME"

passed=0 failed=0

# A node that said nothing for five minutes and was given up, in the words of the command line and of Ansible. QEMU before
# 8.1 can lock a machine up while its kernel patches itself (roles/nested_lab/files/vcompare-hold-kvm.py), so that this is
# no finding about the step.
readonly went_silent="can't be reached|UNREACHABLE!|unreachable=[1-9]"

# step NAME COMMAND...: runs it, says how it went, and counts. Where a node went silent, the lab is made again, and the step
# is done once more; both are said.
step() {
    local name=$1 started=$SECONDS code log
    shift
    log=$(mktemp "${VCOMPARE_TEST_WORK:-/tmp}/step.XXXXXX")
    heard "$log" "$@"
    code=$?
    if ((code)) && grep -qE "$went_silent" "$log"; then
        printf -- '-- once more: %s (a node went silent after %d s)\n' "$name" $((SECONDS - started))
        # Its last words go with the lab, and are all that tells a locked-up emulator from a fault of ours.
        tail -n 40 "$VCOMPARE_HOME"/labs/*/*.console.log
        .venv/bin/vcompare lab down && .venv/bin/vcompare lab up && heard "$log" "$@"
        code=$?
    fi
    if ((code == 0)); then
        passed=$((passed + 1))
        printf -- '-- ok: %s (%d s)\n' "$name" $((SECONDS - started))
    else
        failed=$((failed + 1))
        printf -- '-- FAILED: %s (exit code %d, %d s)\n' "$name" "$code" $((SECONDS - started))
    fi
    return "$code"
}

# heard LOG COMMAND...: runs it in this shell, and keeps what it says as well as showing it.
heard() {
    local log=$1 code
    shift
    # In braces: else bash starts tee from the child that becomes the command, and there is nothing to wait for.
    { "$@"; } > >(tee "$log") 2>&1
    code=$?
    # What it said last may still be on its way.
    wait $! 2>/dev/null
    return "$code"
}

# run_of MARK: the folder of the run that was begun last since that file was made.
run_of() { find "$VCOMPARE_HOME/runs" -mindepth 1 -maxdepth 1 -newer "$1" | sort | tail -n 1; }

# first_block PROCESS MARK: waits until a block of what it measures is on the controller's disk, not for a time; sets run.
first_block() {
    until run=$(run_of "$2") && [[ -s $run/blocks.jsonl ]]; do
        kill -0 "$1" 2>/dev/null || { echo "it ended before its first block" && return 1; }
        sleep 1
    done
}

# code_is EXPECTED COMMAND...: the command ends with just that code.
code_is() {
    local expected=$1 code
    shift
    "$@"
    code=$?
    ((code == expected)) || { echo "ended with $code instead of $expected: $*" && return 1; }
}

finish() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}
