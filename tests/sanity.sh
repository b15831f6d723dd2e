#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: sanity.sh BIN [ARGUMENT…]   (the bin folder of the virtual environment; arguments of ansible-test sanity)
# `ansible-test sanity` on a copy of what git knows, since it wants to find collections under ansible_collections/.
set -euo pipefail
bin=$(cd "$1" && pwd)
shift
site=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
tree=$PWD/build/sanity/ansible_collections

rm -rf build/sanity/ansible_collections && mkdir -p "$tree/iter8/kfserving" "$tree/kubernetes"
git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf - | tar xf - -C "$tree/iter8/kfserving"
cp -rL "$site/ansible_collections/kubernetes/core" "$tree/kubernetes/"

# ansible-test would fetch the script that installs pip from a host of its own; Python brings what it needs.
export XDG_CONFIG_HOME="${XDG_CONFIG_HOME:-$HOME/.config}" XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}"
export HOME=$PWD/build/sanity/home PATH="$bin:$PATH"
mkdir -p "$HOME/.ansible/test/cache"
sed -n "s/.*pip='\([0-9.]*\)'.*/\1/p" "$site/ansible_test/_internal/python_requirements.py" | while read -r pip; do
    echo 'import ensurepip; ensurepip.bootstrap()' > "$HOME/.ansible/test/cache/get_pip_${pip//./_}.py"
done

cd "$tree/iter8/kfserving"
# Without a repository of its own it would find itself in the ignored folder of this one.
git init --quiet . && git add --all
ansible-test sanity --venv --python "$version" "$@"
