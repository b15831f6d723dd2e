#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: docs.sh BIN   (the bin folder of the virtual environment)
# The site in build/docs/html: what docs/ has, and the reference that antsibull-docs makes of modules, filters and roles.
# A link within it that leads nowhere is an error.
set -euo pipefail
bin=$(cd "$1" && pwd)
export PATH="$bin:$PATH" ANSIBLE_CONFIG="$PWD/ansible.cfg"
source=build/docs/source

rm -rf build/docs && mkdir -p "$source/reference"
cp -R docs/. "$source"
mv "$source"/site/* "$source" && rmdir "$source/site"
# The guides' index is the site's own.
rm "$source/guides/README.md"
antsibull-docs collection --use-current --squash-hierarchy --no-indexes \
    --output-format simplified-rst --dest-dir "$source/reference" iter8.kfserving
rm -f "$source/reference/index.rst"
# The theme has a table of contents of its own beside each page, and shows one within it as an error.
sed -i '/^\.\. contents::$/,/^$/d' "$source"/reference/*.rst
# What roles' own pages say, the site has in the reference.
sed -i -E 's#\]\(\.\./roles/([a-z]+)/README\.md\)#](reference/\1_role.rst)#g' "$source"/*.md
sphinx-build -q -W --keep-going -b html -d build/docs/doctrees "$source" build/docs/html
