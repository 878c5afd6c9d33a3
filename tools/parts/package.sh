#!/usr/bin/env bash
# What a user installs: the collection from its archive and the Python package from its wheel.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly root=$VCOMPARE_TEST_WORK/package
readonly installed=$root/ansible_collections/vcompare/lab
export ANSIBLE_COLLECTIONS_PATH=$root ANSIBLE_HOME=$root/home ANSIBLE_CONFIG=$root/build/ansible.cfg
export ANSIBLE_LOCALHOST_WARNING=false

# What must be in the archive, and what must not.
contents() {
    local name code=0
    for name in README.md LICENSE meta/runtime.yml meta/execution-environment.yml requirements.txt \
        bindep.txt plugins/modules roles playbooks/compare.yml inventories/nested/nested_lab.yml \
        pyproject.toml vcompare_runner/__init__.py vcompare_runner/_contract/arms.py vcompare_runner/verdict/catalogue.yml; do
        [[ -e $installed/$name ]] || { echo "missing: $name" && code=1; }
    done
    for name in .venv .git .ci .cache tools tests/output playbooks/collections; do
        [[ ! -e $installed/$name ]] || { echo "must not be there: $name" && code=1; }
    done
    return "$code"
}

# Each plugin file is found under its full name and documented.
documented() {
    local type folder file name code=0
    for folder in modules:module inventory:inventory lookup:lookup filter:filter; do
        type=${folder#*:} folder=${folder%:*}
        for file in "$installed/plugins/$folder"/*.py; do
            [[ -e $file ]] || continue
            name=$(basename "$file" .py)
            [[ $name == __init__ || $name == _* ]] && continue
            (cd "$root" && ansible-doc --type "$type" --json "vcompare.lab.$name" |
                python -c 'import json, sys; d = json.load(sys.stdin)[sys.argv[1]]["doc"]; assert d["short_description"]' \
                    "vcompare.lab.$name") || { echo "no documentation: $name" && code=1; }
        done
    done
    return "$code"
}

# By full name and from another folder, as AWX and a user of the collection call them.
syntax() {
    local file code=0
    for file in "$installed"/playbooks/*.yml; do
        (cd "$root" && ansible-playbook -i "$OLDPWD/inventories/nested" --syntax-check \
            "vcompare.lab.$(basename "$file" .yml)") || code=1
    done
    return "$code"
}

# An editable installation would hide files that the wheel lacks.
wheel() {
    python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$root/wheel" "$root/build/source" &&
        python - "$root"/wheel/*.whl <<'PYTHON'
import pathlib
import sys
import zipfile

packed = set(zipfile.ZipFile(sys.argv[1]).namelist())
wanted = {
    str(path)
    # The contract is the collection's, by a link, and rglob follows none.
    for top in ("vcompare_runner", "vcompare_runner/_contract")
    for path in pathlib.Path(top).rglob("*")
    if path.is_file() and path.suffix != ".pyc"
}
lacking = sorted(wanted - packed)
print("not in the wheel:", lacking)
sys.exit(bool(lacking))
PYTHON
}

check "build and install the collection" install_collection "$root" || exit 1
code=0
check "contents of the archive" contents || code=1
check "documentation of the plugins" documented || code=1
check "syntax of the playbooks by full name" syntax || code=1
check "contents of the wheel" wheel || code=1
exit $code
