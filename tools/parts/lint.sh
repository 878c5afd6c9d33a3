#!/usr/bin/env bash
# Style, types, and the forms that Ansible's tools ask for.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts() { git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | xargs -0 shellcheck; }

# The documentation is checked where an installed collection would be.
docs() {
    local root=$VCOMPARE_TEST_WORK/docs
    copy_checkout "$root/ansible_collections/vcompare/lab" &&
        cd "$root/ansible_collections/vcompare/lab" &&
        antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .
}

code=0
check "ruff check" ruff check . || code=1
check "ruff format" ruff format --check --output-format concise . || code=1
check "mypy" mypy || code=1
check "ansible-lint" env ANSIBLE_HOME="$VCOMPARE_TEST_WORK/ansible" ansible-lint --offline --nocolor -q || code=1
check "antsibull-changelog" antsibull-changelog lint || code=1
check "antsibull-docs" docs || code=1
check "shellcheck" scripts || code=1
VCOMPARE_TEST_SHOW=1 check "the house" python tools/house.py || code=1
exit $code
