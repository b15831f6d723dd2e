#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds the virtual environment that every make target uses, and links this clone into it as
# ansible_collections/iter8/kfserving, where ansible-core looks for collections beside its own packages.
# usage: setup.sh PYTHON VENV REQUIREMENTS
set -euo pipefail
python=$1 venv=$2 requirements=$3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "setup: '$python' is missing or older than Python 3.10. Name another: make PYTHON=/path/to/python3.12 …" >&2
    exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
    echo "setup: creating $venv with $("$python" --version)"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        echo "setup: '$python -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi
echo "setup: installing what $requirements lists (about a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/ansible_collections/iter8"
ln -sfn "$PWD" "$site/ansible_collections/iter8/kfserving"
echo "setup: $venv has $("$venv/bin/python" -c 'from ansible.release import __version__; print("ansible-core", __version__)')"
