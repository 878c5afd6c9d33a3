#!/usr/bin/env bash
# ansible-test's sanity tests, over the collection as it would be installed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly root=$VCOMPARE_TEST_WORK/sanity
# ansible-test keeps its environments under HOME: kept from run to run, away from the user's own.
readonly home=$PWD/.cache/ansible-test

# ansible-test fetches a script that installs pip from a host of its own. The same pip from the
# package index does as well, with a script of the same name that installs it.
pip_bootstrap() {
    local cache=$home/.ansible/test/cache version script
    version=$(python - <<'PYTHON'
import pathlib
import re

import ansible_test

folder = pathlib.Path(ansible_test.__file__).parent
text = (folder / "_internal/python_requirements.py").read_text()
print(re.search(r"""pip=['"]([0-9.]+)['"]""", text).group(1))
PYTHON
    ) || return 1
    script=$cache/get_pip_${version//./_}.py
    [[ -s $script ]] && return
    mkdir -p "$cache" && python -m pip download --quiet --no-deps --dest "$cache" "pip==$version" || return 1
    cat >"$script" <<PYTHON
import pathlib
import runpy
import sys

wheel = str(next(pathlib.Path(__file__).parent.glob("pip-$version-*.whl")))
sys.path.insert(0, wheel)
sys.argv = ["pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
PYTHON
}

# What ansible-test must not ask of this collection, beside tests/sanity/ignore-*.txt (ansible-lint
# lets few things stand there).
ignores() {
    local here=$root/ansible_collections/vcompare/lab init version rules
    version=$(python -c 'import ansible.release as r; print(".".join(r.__version__.split(".")[:2]))')
    rules=$(python -c 'import ansible_test; print(next(iter(ansible_test.__path__)))')
    rules+=/_util/controller/sanity/pylint/plugins/unwanted.py
    {
        # Only some versions of shellcheck mind busybox's shell, and an ignore without a use is an error.
        init=roles/guest_image/files/initrd-init.sh
        [[ $(shellcheck --norc --format gcc "$here/$init") != *SC2187* ]] || echo "$init shellcheck:SC2187"
        # run_command belongs to a module's object; our libraries know no module, and have deadlines.
        if grep -q "'subprocess\.\|subprocess\.{" "$rules"; then
            cd "$here" && grep -rlE '\bsubprocess\.(run|Popen|call|check_call|check_output)\(' plugins/module_utils --include '*.py' |
                sed 's/$/ pylint:ansible-bad-function/'
        fi
    } >>"$here/tests/sanity/ignore-$version.txt"
}

prepare() { install_collection "$root" && ignores && pip_bootstrap; }

sanity() {
    cd "$root/ansible_collections/vcompare/lab" || return 1
    local skipped=() version
    # Other versions that PATH names may be stand-ins of a version manager, which don't start.
    version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # This one starts PowerShell; the collection has none.
    command -v pwsh >/dev/null || skipped+=(--skip-test pslint)
    HOME=$home ansible-test sanity --color no --requirements --python "$version" --truncate 0 "${skipped[@]}" "$@"
}

check "prepare" prepare || exit 1
check "ansible-test sanity" sanity
