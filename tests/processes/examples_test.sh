#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The small examples do what their first lines say: two that embed a cache greet each other, a strategy of one's own finds
# those whom the environment names, and two with another transport find each other and see one end.
# Usage: examples_test.sh EMBED_CACHE CUSTOM_STRATEGY OTHER_TRANSPORT.
set -euo pipefail
embed_cache=$1 custom_strategy=$2 other_transport=$3

directory=$(mktemp -d)
pids=()
clean_up() {
  local status=$?
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  ((status == 0)) || tail -n 20 "$directory"/*.{out,log}
  rm -rf "$directory"
}
trap clean_up EXIT
export HOME=$directory ERL_EPMD_PORT=$((20000 + $$ % 10000))
cd "$directory"

says() {  # FILE TEXT: within 15 s
  local deadline=$((SECONDS + 15))
  until grep -qs "$2" "$1"; do
    ((SECONDS < deadline)) || { echo "$1 does not say: $2"; exit 1; }
    sleep 0.05
  done
}

"$embed_cache" a@127.0.0.1 >a.out 2>a.log &
pids+=($!)
says a.out 'from a@127.0.0.1'
"$embed_cache" b@127.0.0.1 a@127.0.0.1 >b.out 2>b.log &
pids+=($!)
says b.out 'from a@127.0.0.1'
says b.out 'from b@127.0.0.1'
for pid in "${pids[@]}"; do kill -TERM "$pid"; done
for pid in "${pids[@]}"; do wait "$pid"; done

PEERS='c@127.0.0.1 d@127.0.0.1' timeout 10 "$custom_strategy" >strategy.out 2>strategy.log &
pids=($!)
says strategy.out c@127.0.0.1
says strategy.out d@127.0.0.1
wait "${pids[0]}"

"$other_transport" a@127.0.0.1 >other_a.out 2>other_a.log &
pids=($!)
"$other_transport" b@127.0.0.1 >other_b.out 2>other_b.log &
pids+=($!)
says other_a.out 'linked with b@127.0.0.1'
says other_b.out 'linked with a@127.0.0.1'
kill -KILL "${pids[1]}"
says other_a.out 'no longer linked with b@127.0.0.1'
kill -TERM "${pids[0]}"
wait "${pids[0]}"
