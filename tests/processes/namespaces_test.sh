#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two hosts, each a network namespace, on one bridge: nodes find each other by multicast across it; a pulled cable is
# noticed within 3 s although no socket closes; both sides write; after the heal both have everything.
# Usage: namespaces_test.sh MUSTER.  Exit status 77: needs root and network namespaces.
set -euo pipefail
muster=$1
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

skip() { echo "skipped: $*"; exit 77; }
((EUID == 0)) || skip 'needs root'
for tool in ip redis-cli; do command -v "$tool" >/dev/null || skip "needs $tool"; done

id=muster-$$
directory=$(mktemp -d)
clean_up() {
  local status=$?
  trap - EXIT
  set +e
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
  for space in switch a b; do ip netns delete "$id-$space" 2>/dev/null; done
  ((status == 0 || status == 77)) || tail -n 40 "$directory"/*.log
  rm -rf "$directory"
  exit "$status"
}
pids=()
trap clean_up EXIT
trap 'exit 130' INT TERM

ip netns add "$id-switch" 2>/dev/null || skip 'cannot make network namespaces'
ip netns exec "$id-switch" true 2>/dev/null || skip 'cannot enter network namespaces (in a chroot?)'
ip netns exec "$id-switch" ip link add bridge type bridge
ip netns exec "$id-switch" ip link set bridge up

make_host() {  # NAME ADDRESS
  ip netns add "$id-$1"
  ip netns exec "$id-$1" ip link set lo up
  ip netns exec "$id-$1" ip link add eth0 type veth peer name "port-$1" netns "$id-switch"
  ip netns exec "$id-$1" ip address add "$2/24" dev eth0
  ip netns exec "$id-$1" ip link set eth0 up
  ip netns exec "$id-switch" ip link set "port-$1" master bridge up
}

start_node() {  # NAME ADDRESS
  cat >"$directory/$1.yaml" <<YAML
topologies: {local: {strategy: gossip, config: {multicast_if: $2}}}
tables: {session: {ttl: 1h, on_split: merge}}
YAML
  ip netns exec "$id-$1" "$muster" start "$directory/$1.yaml" --name "$1@$2" --dir "$directory/$1" \
    --cookie-file "$directory/cookie" --port 4000 >"$directory/$1.log" 2>&1 &
  pids+=($!)
}

sees() {  # NAME FULL_NAME: lists it as connected
  ip netns exec "$id-$1" curl -fs --max-time 2 http://127.0.0.1:4000/v1/nodes | tr '{' '\n' |
    grep -F "\"name\":\"$2\"" | grep -qF '"connected":true'
}
redis() { ip netns exec "$id-$1" redis-cli -p 4001 "${@:2}"; }

within() {  # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= end)) || { echo "not within time: $*"; return 1; }
    sleep 0.05
  done
}

see_each_other() { sees a b@10.77.0.2 && sees b a@10.77.0.1; }
neither_sees_the_other() { ! sees a b@10.77.0.2 && ! sees b a@10.77.0.1; }
is_ready() { ip netns exec "$id-$1" curl -fs -o /dev/null --max-time 2 http://127.0.0.1:4000/readyz; }
has() { [[ $(redis "$1" GET "$2") == "$3" ]]; }

make_host a 10.77.0.1
make_host b 10.77.0.2
start_node a 10.77.0.1
start_node b 10.77.0.2
within 20 see_each_other
within 20 is_ready a
within 20 is_ready b
redis a SET before cut | grep -qx OK
within 5 has b before cut

ip netns exec "$id-switch" ip link set port-a down
within 4 neither_sees_the_other
redis a SET "from a" 1 | grep -qx OK
redis b SET "from b" 2 | grep -qx OK

ip netns exec "$id-switch" ip link set port-a up
within 20 see_each_other
within 15 has a "from b" 2
within 15 has b "from a" 1
echo "two hosts, one pulled cable: healed"
