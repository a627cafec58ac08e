#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs the "Five minutes" of README.md as they stand, with a home, a directory and, as root, a network of its own.
# Usage: readme_test.sh SOURCE_DIRECTORY.  Exit status 77: a port is taken and there is no root to make a network.
set -euo pipefail
cd "$1"

commands=$(awk '/^## Five minutes/ {found = 1} found && /^```$/ {exit} inside {print} found && /^```sh$/ {inside = 1}' README.md)
[[ $commands == *"muster start"* ]] || { echo "README.md has no five minutes"; exit 1; }

HOME=$(mktemp -d)
export HOME
trap 'rm -rf "$HOME"' EXIT

# Everything after the build runs in $HOME, so that nothing is left in the clone.
story=${commands/$'\nmuster start'/$'\n'cd \"\$HOME\"$'\nmuster start'}
printf 'set -eu\ntrap '\''status=$?; kill $(jobs -p) 2>/dev/null || true; wait || true; echo "the story ended with status $status"'\'' EXIT\n%s\necho five minutes done\n' "$story" >"$HOME/story"

own_network=()
if ((EUID == 0)) && unshare --net true 2>/dev/null; then
  own_network=(unshare --net bash -c 'ip link set lo up && exec "$@"' network)
else
  for port in 4000 4001 4002 4003; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "skipped: port $port is taken"; exit 77; fi
  done
fi

"${own_network[@]}" bash "$HOME/story" 2>&1 | tee "$HOME/output"
for expected in '^ada$' '^grace$' '^five minutes done$'; do
  grep -qx "${expected:1:-1}" "$HOME/output" || { echo "the output lacks: ${expected:1:-1}"; exit 1; }
done
