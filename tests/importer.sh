#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: importer.sh BIN VENV   (the bin folder of the virtual environment, and the one that has galaxy-importer)
# Imports the collection's artefact as Galaxy would; whatever the importer warns of is a failure.
set -euo pipefail
bin=$(cd "$1" && pwd)
own=$(cd "$2/bin" && pwd)
folder=$PWD/build/importer
log=$folder/importer.log

site() {
    "$1/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# It finds the collections that this one needs beside its own ansible-core alone.
mkdir -p "$(site "$own")/ansible_collections/kubernetes"
ln -sfn "$(site "$bin")/ansible_collections/kubernetes/core" "$(site "$own")/ansible_collections/kubernetes/core"

# ansible-test and flake8's rules have their turn elsewhere: make sanity, make lint.
cat > "$folder/galaxy-importer.cfg" << 'END'
[galaxy-importer]
RUN_ANSIBLE_DOC=True
RUN_ANSIBLE_LINT=True
RUN_ANSIBLE_TEST=False
RUN_FLAKE8=False
LOG_LEVEL_MAIN=INFO
END

bash tests/build.sh "$bin" "$folder" > "$folder/build.log"
# Galaxy has no settings of this clone's; it leaves its result where it runs.
unset ANSIBLE_CONFIG
cd "$folder"
export GALAXY_IMPORTER_CONFIG=$folder/galaxy-importer.cfg PATH=$own:$PATH
# It gives its ansible-lint three minutes, which are too few on a busy machine.
python - iter8-kfserving-*.tar.gz > "$log" 2>&1 << 'END' || true
from galaxy_importer import main
from galaxy_importer.loaders import collection


class Patient(collection.Popen):
    def communicate(self, input=None, timeout=None):
        return super().communicate(input)


collection.Popen = Patient
main.main()
END
if grep -E '^(WARNING|ERROR)' "$log" >&2; then
    echo "importer: it warned of what stands above; its log is $log" >&2
    exit 1
fi
if ! grep -q 'Importer processing completed successfully' "$log"; then
    tail -n 20 "$log" >&2
    echo "importer: it did not come to an end; its log is $log" >&2
    exit 1
fi
