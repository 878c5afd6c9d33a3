#!/usr/bin/env bash
# Keeps what runs measured as the example under docs/, and writes the report that joins them.
# usage: tools/example.sh [RUN_FOLDER...]; without one, only the report is written again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly example=docs/example
# Not the logs of the run: they are long, and name the machine.
readonly kept=(manifest.json blocks.jsonl samples.jsonl proofs.jsonl facts raw)

for run in "$@"; do
    [[ -s $run/manifest.json ]] || {
        echo "example: there is no run in $run: name a folder of VCOMPARE_HOME/runs" >&2
        exit 2
    }
    to=$example/$(basename "$run")
    mkdir -p "$to"
    for part in "${kept[@]}"; do cp -rT "$run/$part" "$to/$part"; done
    chmod -R u=rwX,go=rX "$to"
done
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
parts=("$example"/*/manifest.json)
[[ -e ${parts[0]} ]] || { echo "example: there is no run in $example: name one" >&2; exit 2; }
.venv/bin/vcompare report "${parts[@]%/manifest.json}" --output "$made"
cp "$made/report.md" "$example/report.md"
du -sh --apparent-size "$example"
