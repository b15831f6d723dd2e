#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: lint.sh BIN   (the bin folder of the virtual environment)
set -euo pipefail
bin=$(cd "$1" && pwd)
export PATH="$bin:$PATH" ANSIBLE_CONFIG="$PWD/ansible.cfg"

echo "lint: ruff"
ruff check plugins tests
ruff format --check plugins tests
# mypy follows the collection's own imports only where it finds them under their full name.
mkdir -p build/types/ansible_collections/iter8 && ln -sfn "$PWD" build/types/ansible_collections/iter8/kfserving
echo "lint: mypy strict"
MYPYPATH=build/types mypy -p ansible_collections.iter8.kfserving.plugins.module_utils
echo "lint: ansible-lint, profile production"
ansible-lint --offline --profile production
echo "lint: changelog"
antsibull-changelog lint
echo "lint: documentation"
ansible-doc --type module --json --list iter8.kfserving > /dev/null
# It copies what git knows of a collection: kubernetes.core, in the ignored .venv, must not be taken for part of this clone.
GIT_CEILING_DIRECTORIES=$PWD antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck --validate-collection-refs dependent .
