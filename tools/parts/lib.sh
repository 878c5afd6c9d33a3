# shellcheck shell=bash
# What the parts of the test suite share. Sourced.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

: "${VCOMPARE_TEST_PART:?a part is run by tools/test.sh}" "${VCOMPARE_TEST_WORK:?}" "${VCOMPARE_TEST_RESULTS:?}"
# Tests start Python programs some thousand times: compiled once, beside the sources, they start in half the time.
unset PYTHONDONTWRITEBYTECODE
export PATH=$PWD/.venv/bin:$PATH PYTHONPYCACHEPREFIX=$PWD/.cache/bytecode

# check NAME COMMAND...: runs it in a subshell, shows what it prints when it fails, and writes the result down.
# A command whose output ends with "N passed" and "N failed" counts as that many checks.
check() {
    local name=$1 log code started=$SECONDS passed failed
    shift
    log=$(mktemp "$VCOMPARE_TEST_WORK/log.XXXXXX")
    if [[ -n ${VCOMPARE_TEST_SHOW:-} ]]; then
        ("$@") 2>&1 | tee "$log"
        code=${PIPESTATUS[0]}
    else
        ("$@") >"$log" 2>&1
        code=$?
    fi
    passed=$(count passed "$log") failed=$(count failed "$log")
    if ((passed + failed == 0)); then
        if ((code)); then failed=1; else passed=1; fi
    elif ((code && failed == 0)); then
        failed=1
    fi
    printf '%s\t%s\t%d\t%d\n' "$VCOMPARE_TEST_PART" "$name" "$passed" "$failed" >>"$VCOMPARE_TEST_RESULTS"
    if ((failed)); then
        [[ -n ${VCOMPARE_TEST_SHOW:-} ]] || sed 's/^/    /' "$log"
        printf '  FAILED  %s (exit code %d, %d s)\n' "$name" "$code" $((SECONDS - started))
        return 1
    fi
    printf '  ok      %s (%d s)\n' "$name" $((SECONDS - started))
}

# The number before the word in the closing line of pytest, or of our own scripts.
count() {
    tail -n 3 "$2" | grep -oE "[0-9]+ $1" | tail -n 1 | grep -oE '[0-9]+' || echo 0
}

# copy_checkout DEST: what git would commit, without the link that leads back to the checkout.
copy_checkout() {
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            [[ $file == playbooks/collections/* ]] && continue
            [[ -e $file || -L $file ]] && printf '%s\0' "$file"
        done | tar --create --null --files-from=- | tar --extract --directory "$1"
}

# install_collection ROOT: builds the collection as it would be released, and installs that
# under ROOT/ansible_collections. The source stays in ROOT/build/source.
install_collection() {
    local build=$1/build
    # The checkout's own ansible.cfg would find the checkout, and call that installed.
    export ANSIBLE_CONFIG=$build/ansible.cfg
    copy_checkout "$build/source" && : >"$ANSIBLE_CONFIG" &&
        (cd "$build/source" && ansible-galaxy collection build --output-path "$build") &&
        ansible-galaxy collection install --offline -p "$1" "$build"/vcompare-lab-*.tar.gz
}
