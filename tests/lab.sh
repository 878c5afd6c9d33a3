# shellcheck shell=bash
# What the tests on real daemons share: a home and a lab of their own. Sourced.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# A developer who keeps VCOMPARE_TEST_HOME saves building the images each time.
export VCOMPARE_HOME=${VCOMPARE_TEST_HOME:-${VCOMPARE_TEST_WORK:?set by tools/test.sh}/home}
export ANSIBLE_CONFIG=$PWD/ansible.cfg ANSIBLE_FORCE_COLOR=false NO_COLOR=1
mkdir -p "$VCOMPARE_HOME"

passed=0 failed=0

# step NAME COMMAND...: runs it, says how it went, and counts.
step() {
    local name=$1 started=$SECONDS code
    shift
    "$@"
    code=$?
    if ((code == 0)); then
        passed=$((passed + 1))
        printf -- '-- ok: %s (%d s)\n' "$name" $((SECONDS - started))
    else
        failed=$((failed + 1))
        printf -- '-- FAILED: %s (exit code %d, %d s)\n' "$name" "$code" $((SECONDS - started))
    fi
    return "$code"
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
