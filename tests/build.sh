#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: build.sh BIN FOLDER   (the bin folder of the virtual environment, and where the artefact goes)
# The artefact, built of a copy of the files that git tracks: whatever else lies in a clone stays out of it.
set -euo pipefail
bin=$(cd "$1" && pwd)
mkdir -p "$2" && folder=$(cd "$2" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

if ! git ls-files -z --cached > "$tree/.names"; then
    echo "build: git does not know what belongs to the collection here; build in a clone" >&2
    exit 1
fi
# Of a folder as it is: what was removed, or moved, and is not committed yet, is left out.
while IFS= read -r -d '' name; do
    if [ -e "$name" ]; then printf '%s\0' "$name"; fi
done < "$tree/.names" | tar -c --null -T - -f - | tar -x -f - -C "$tree"
rm -f "$folder"/iter8-kfserving-*.tar.gz
"$bin/ansible-galaxy" collection build --output-path "$folder" "$tree"
