#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: fortio.sh BIN   (the bin folder of the virtual environment, which the program goes to)
# Builds the Fortio that the load's results are compared with, where Go is there and no other Fortio is; where
# it cannot be built, the comparisons are skipped, and say so.
set -euo pipefail
version=v1.68.0
bin=$(cd "$1" && pwd)
PATH=$PATH:/usr/local/go/bin

if command -v fortio > /dev/null || "$bin/fortio" version 2> /dev/null | grep -q "^${version#v}"; then
    exit 0
fi
command -v go > /dev/null || exit 0
echo "setup: building Fortio $version (some minutes the first time)"
if ! said=$(GOBIN=$bin GOTOOLCHAIN=local timeout 900 go install "fortio.org/fortio@$version" 2>&1); then
    echo "setup: Fortio was not built, so nothing is compared with it: $(tail -n 1 <<< "$said")"
fi
