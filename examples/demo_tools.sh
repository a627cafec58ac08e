# SPDX-License-Identifier: MIT
#
# What examples/demo is made of: steps with a check mark, processes that never outlive their demo unnoticed, ports,
# waiting.  Sourced, not run.  Needs $home, the directory for pid files and logs.

# Steps

if [[ -t 1 ]]; then
  green=$'\e[32m' red=$'\e[31m' grey=$'\e[90m' plain=$'\e[0m' erase=$'\r\e[K'
else
  green='' red='' grey='' plain='' erase=''
fi

reason=''  # Why the step at hand fails: one sentence.

microseconds() { echo "${EPOCHREALTIME/[.,]/}"; }

seconds_since() {  # MICROSECONDS: "0.42 s"
  local passed=$(($(microseconds) - $1))
  printf '%d.%02d s' $((passed / 1000000)) $((passed % 1000000 / 10000))
}

because() { reason=$*; return 1; }

# step SENTENCE COMMAND...: runs the command; one line with a check mark and how long it took.  A false step ends it all.
step() {
  local sentence=$1 began
  shift
  reason=''
  began=$(microseconds)
  [[ -t 1 ]] && printf '  %s' "$sentence"
  if "$@"; then
    printf '%s%s\xe2\x9c\x93%s %-78s %s%s%s\n' "$erase" "$green" "$plain" "$sentence" "$grey" "$(seconds_since "$began")" "$plain"
  else
    printf '%s%s\xe2\x9c\x97%s %-78s %s\n' "$erase" "$red" "$plain" "$sentence" "$(seconds_since "$began")"
    echo "  ${reason:-the command failed: $*}" >&2
    show_logs
    exit 1
  fi
}

chapter() { printf '\n%s\n' "$*"; }

show_logs() {
  local log
  for log in "$home"/*.log; do
    [[ -s $log ]] || continue
    echo "  -- end of $log" >&2
    tail -n 12 "$log" | sed 's/^/  | /' >&2
  done
}

# eventually SECONDS COMMAND...: true as soon as the command is.
eventually() {
  local deadline=$(($(microseconds) + $1 * 1000000))
  shift
  until "$@"; do
    (($(microseconds) < deadline)) || return 1
    sleep 0.05
  done
}

# Processes.  NAME.pid holds the process id and when that process was born, so that a reused id is never mistaken.

birth_of() {  # PID: its start time in clock ticks since boot; nothing when there is no such process
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

alive() {  # NAME
  local pid birth
  read -r pid birth 2>/dev/null <"$home/$1.pid" || return 1
  [[ $(birth_of "$pid") == "$birth" ]]
}

start() {  # NAME COMMAND...: in a session of its own, output to NAME.log
  local name=$1 pid
  shift
  setsid "$@" >>"$home/$name.log" 2>&1 </dev/null 9>&- &  # 9: the lock of the demo itself
  pid=$!
  echo "$pid $(birth_of "$pid")" >"$home/$name.pid"
}

process_id() { local pid birth; read -r pid birth <"$home/$1.pid" && echo "$pid"; }

gone() { ! alive "$1"; }

kill_hard() {  # NAME; harmless when it is dead
  local pid
  pid=$(process_id "$1") || because "$1 was never started" || return
  kill -KILL "$pid" 2>/dev/null
  eventually 5 gone "$1" || because "$1 survives kill -9" || return
  wait "$pid" 2>/dev/null  # so that the shell says nothing of it
  rm -f "$home/$1.pid"
}

stop() {  # NAME: an orderly end; a process of ours must then exit with status 0
  local pid status=0
  alive "$1" || because "$1 was not running any more; see $home/$1.log" || return
  pid=$(process_id "$1")
  kill -TERM "$pid"
  eventually 10 gone "$1" || because "$1 did not stop within 10 s of SIGTERM" || return
  rm -f "$home/$1.pid"
  wait "$pid" 2>/dev/null || status=$?
  ((status == 0 || status == 127)) || because "$1 ended with exit status $status"
}

stop_whatever_runs() {  # says what it ends when asked to
  local file name
  for file in "$home"/*.pid; do
    [[ -e $file ]] || continue
    name=$(basename "$file" .pid)
    if alive "$name"; then
      [[ ${1:-} == loudly ]] && echo "  ending $name (process $(process_id "$name")), left by an earlier run"
      kill -TERM "$(process_id "$name")" 2>/dev/null
      eventually 5 gone "$name" || kill -KILL "$(process_id "$name")" 2>/dev/null
    fi
    rm -f "$file"
  done
}

# Ports

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ports_are_free() {
  local port holder
  for port in "$@"; do
    answers "$port" || continue
    holder=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -nE 's/.*users:\(\("([^"]*)",pid=([0-9]+).*/ (\1, process \2)/p' | head -n 1)
    because "port $port is in use$holder: end that program, or choose other ports with --base-port"
    return
  done
}
