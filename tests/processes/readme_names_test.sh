#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every test that README.md names beside a promise exists.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
for name in $(grep -oE '`[A-Z][A-Za-z]+\.[A-Z][A-Za-z0-9]+`' README.md | tr -d '`' | sort -u); do
  if ! grep -rqE "TEST(_F|_P)?\(${name%%.*},\s*${name#*.}\)" tests --include='*.cc' -z; then
    echo "README.md names $name, which is no test"
    status=1
  fi
done
exit "$status"
