#!/usr/bin/env bash
# Runs the parts of the test suite that are named, or all of them, and sums up what came out.
# A part that fails does not stop the others. Whatever a part started ends with it.
# Each part writes one line a check into $VCOMPARE_TEST_RESULTS (see parts/lib.sh).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# e2e makes the lab from nothing, and integration, which takes it down, finds it.
readonly all=(unit lint sanity package e2e integration)
# Only when they are named: they take a quarter of an hour to an hour each.
readonly more=(servers turns experiments faults emulators)
readonly grace_s=60
# What the parts with a lab need at least, in seconds, and as a percentage of what the unit tests took on this machine.
# Where VCOMPARE_TEST_WITHIN_S is set and less is left of it, such a part is left out, and the summary names it.
declare -rA needed_s=([e2e]=1200 [integration]=1000) needed_percent=([e2e]=220 [integration]=180)
parts=("$@")
((${#parts[@]})) || parts=("${all[@]}")
for part in "${parts[@]}"; do
    [[ -x tools/parts/$part.sh ]] || {
        echo "test: there is no part $part; there are: ${all[*]} ${more[*]}" >&2
        exit 2
    }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/vcompare-test.XXXXXX")
export VCOMPARE_TEST_WORK=$work VCOMPARE_TEST_RESULTS=$work/results
: >"$VCOMPARE_TEST_RESULTS"
: "${VCOMPARE_TEST_WITHIN_S:=0}"
current='' leader=0 stopped='' rows=() unit_s=0

# 0 for a part that is never left out.
needed() {
    local least=${needed_s[$1]:-0} here=$((${needed_percent[$1]:-0} * unit_s / 100))
    echo $((here > least ? here : least))
}

# Ends the part that runs: politely first, since it may have machines to take down.
end_part() {
    # A second signal may come in the middle: the number must not change, since 0 is our own group.
    local group=$leader deadline=$((SECONDS + grace_s))
    leader=0
    ((group)) || return 0
    kill -TERM -- "-$group" 2>/dev/null
    while kill -0 -- "-$group" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.2; done
    kill -KILL -- "-$group" 2>/dev/null
}

sum() { awk -F '\t' -v part="$1" -v n="$2" '$1 == part || part == "" { s += $n } END { print s + 0 }' "$VCOMPARE_TEST_RESULTS"; }

row() {
    local part=$1 elapsed=$2 word=$3
    rows+=("$(printf '  %-12s %-8s %5d passed %4d failed %6d s' "$part" "$word" "$(sum "$part" 3)" "$(sum "$part" 4)" "$elapsed")")
}

stop() {
    # One is enough. (Not ignored: our children would ignore it, too.)
    trap : INT TERM
    stopped=$1
    end_part
}
# A lab's nodes belong to libvirt, not to the part: one that was stopped leaves them.
clean_up() {
    trap : INT TERM
    end_part
    if [[ -d $work/home/labs && -x .venv/bin/vcompare ]]; then
        local lab
        for lab in "$work"/home/labs/*/; do
            [[ -d $lab ]] || continue
            lab=$(basename "$lab")
            if ! VCOMPARE_HOME=$work/home timeout --kill-after=10 180 .venv/bin/vcompare lab down --lab "$lab" </dev/null &>"$work/down"; then
                tail -n 5 "$work/down" >&2
                echo "test: the lab $lab in $work/home could not be taken down; see VCOMPARE_HOME=$work/home vcompare lab doctor" >&2
                return
            fi
        done
    fi
    rm -rf "$work"
}
trap 'stop INT' INT
trap 'stop TERM' TERM
trap clean_up EXIT

for part in "${parts[@]}"; do
    [[ -z $stopped ]] || break
    needs=$(needed "$part")
    if ((VCOMPARE_TEST_WITHIN_S > 0 && needs > 0 && SECONDS + needs > VCOMPARE_TEST_WITHIN_S)); then
        rows+=("$(printf '  %-12s left out: it takes about %d s here, and %d s are left' "$part" "$needs" $((VCOMPARE_TEST_WITHIN_S - SECONDS)))")
        continue
    fi
    printf '\n==== %s\n' "$part"
    started=$SECONDS current=$part
    export VCOMPARE_TEST_PART=$part
    # A session of its own: all of it can be ended at once, and Ctrl-C reaches us first.
    # (Without job control, setsid needs no fork, so its process is the session's leader.)
    setsid "tools/parts/$part.sh" </dev/null &
    leader=$!
    wait "$leader"
    code=$?
    end_part
    if [[ -n $stopped ]]; then
        printf '%s\t%s\t0\t1\n' "$part" "interrupted" >>"$VCOMPARE_TEST_RESULTS"
    elif ((code)) && (($(sum "$part" 4) == 0)); then
        # It broke outside of its checks.
        printf '%s\t%s\t0\t1\n' "$part" "exit code $code" >>"$VCOMPARE_TEST_RESULTS"
    elif ((code == 0)) && (($(sum "$part" 3) + $(sum "$part" 4) == 0)); then
        printf '%s\t%s\t0\t1\n' "$part" "made no check" >>"$VCOMPARE_TEST_RESULTS"
    fi
    word=ok
    (($(sum "$part" 4) == 0)) || word=FAILED
    [[ $part != unit ]] || unit_s=$((SECONDS - started))
    row "$part" $((SECONDS - started)) "$word"
done

printf '\n==== summary\n'
printf '%s\n' "${rows[@]}"
awk -F '\t' '$4 > 0 { printf "  failed: %s: %s\n", $1, $2 }' "$VCOMPARE_TEST_RESULTS"
[[ -z $stopped ]] || printf '  stopped by SIG%s during %s; the parts after it did not run\n' "$stopped" "$current"
passed=$(sum '' 3) failed=$(sum '' 4)
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
