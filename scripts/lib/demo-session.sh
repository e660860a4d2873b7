#!/bin/bash
# What scripts/demo runs inside the session: demo-session.sh EXAMPLES WORK, a folder for its use.
#
# Only what is started through the functions below may execute a program, since each execve must be on the list of what is expected.
set -euo pipefail
examples=$1
work=$2
lib=$(realpath "$(dirname "$0")") # before a loader is there
PATH=$PATH:/usr/sbin:/sbin # bpftool's, for ordinary users
python=/usr/bin/python3    # never a script in its place, which would execute more
timeout_s=20

declare -A expected # "PID UID COMMAND MESSAGE" -> how often
total=0

message_of() {
  case $1 in
    0) echo "Hey root!" ;;
    501) echo "Hi user 501!" ;;
    *) echo "Hello World" ;;
  esac
}

# expect PID UID COMMAND: COMMAND is what the process is called when it makes the call, not what it becomes
expect() {
  local line
  line="$1 $2 $3 $(message_of "$2")"
  expected[$line]=$((${expected[$line]:-0} + 1))
  total=$((total + 1))
}

show_command() {
  local word line='$'
  for word in "$@"; do
    [[ $word != *[[:space:]]* ]] || word="'$word'"
    line+=" ${word#"$lib/"}"
  done
  printf '%s\n' "$line"
}

# start COMMAND...: by this shell's fork and execve; what it prints is shown and in $reply, its pid in $started
start() {
  local out pid
  show_command "$@"
  exec {out}< <(exec "$@")
  pid=$!
  expect "$pid" "$EUID" bash
  reply=
  IFS= read -r -d '' -t "$timeout_s" -u "$out" reply || true
  exec {out}<&-
  wait "$pid" || fail "$1 ended with status $?"
  reply=${reply%$'\n'}
  [[ -z $reply ]] || printf '%s\n' "$reply"
  started=$pid
}

# as_user UID COMMAND...: setpriv becomes the user and executes the command, which is the second execve of one process
as_user() {
  local uid=$1
  shift
  start setpriv --reuid "$uid" --clear-groups "$@"
  expect "$started" "$uid" setpriv
}

fail() {
  echo "demo: $*" >&2
  [[ ! -s $work/errors ]] || cat "$work/errors" >&2
  exit 1
}

loader=
trap '[[ -z $loader ]] || kill "$loader" 2>/dev/null || true' EXIT

# run_loader NAME: it is attached when this returns; one pipe carries the byte that says so and then its lines
run_loader() {
  exec {lines}< <(exec "$examples/$1/$1" --ready-fd 9 9>&1 2>"$work/errors")
  loader=$!
  read -r -n 1 -t "$timeout_s" -u "$lines" || fail "$1 did not come up"
}

# Reads until every expected line is there. Then comes one more command: what would be seen twice is written before it, and a loader
# prints all that one look at its buffers found before it obeys a signal.
declare -A seen
seen_total=0
take_line() {
  local line
  read -r "$@" -u "$lines" line || return 1
  printf '%s\n' "$line"
  seen[$line]=$((${seen[$line]:-0} + 1))
  seen_total=$((seen_total + 1))
}
read_lines() {
  while [[ $seen_total -lt $total ]]; do
    take_line -t "$timeout_s" || break
  done
}

compare() {
  local line wrong=0
  for line in "${!expected[@]}"; do
    [[ ${seen[$line]:-0} -eq ${expected[$line]} ]] && continue
    echo "wanted ${expected[$line]} of this line, saw ${seen[$line]:-0}: $line"
    wrong=1
  done
  for line in "${!seen[@]}"; do
    [[ -n ${expected[$line]:-} ]] && continue
    echo "nobody executed this: $line"
    wrong=1
  done
  return "$wrong"
}

# contain WHAT TEXT...: the last reply has each TEXT
contain() {
  local what=$1 text
  shift
  for text in "$@"; do
    [[ $reply == *"$text"* ]] || fail "$what does not show '$text'"
  done
}

# by_python WAY: of demo-exec.py; the execve is another process's when it prints a pid
by_python() {
  start "$python" "$lib/demo-exec.py" "$1"
  expect "${reply:-$started}" "$EUID" python3
}

commands_of_this_user() {
  heading "A shell's commands, as uid $EUID"
  start true
  start uname -s
  start id -u
  start cat /proc/self/comm
  heading "By vfork: dash"
  start dash -c 'sh -c "echo \$\$"; :'
  expect "$reply" "$EUID" dash
  heading "By posix_spawn"
  by_python posix_spawn
  heading "By a parent that closes every file descriptor it does not know"
  by_python subprocess-close-fds
  heading "By a thread: in a child, and in the place of the whole process"
  by_python subprocess-in-thread
  by_python exec-in-thread
  heading "By a process that blocks every signal"
  by_python exec-signals-blocked
}

commands_of_other_users() {
  local uid
  heading "As user 501, who has a message, and as nobody, who has none"
  for uid in 501 65534; do
    as_user "$uid" /usr/bin/id -u # with its path, since setpriv tries every folder of PATH by an execve
    as_user "$uid" /usr/bin/dash -c 'sh -c "echo \$\$"; :'
    expect "$reply" "$uid" dash
  done
}

# what_bpftool_sees TYPE: of the map `output`
what_bpftool_sees() {
  heading "What bpftool sees"
  start bpftool map list
  contain "bpftool map list" "$1  name output" "hash  name config" "key 4B"
  start bpftool prog list
  contain "bpftool prog list" "kprobe  name hello" "map_ids"
  start bpftool map dump name config
  contain "bpftool map dump" '"key": 0' "Hey root!" '"key": 501'
  start bpftool perf list
  contain "bpftool perf list" "pid $loader" "kprobe" "execve"
  start bpftool link list
  contain "bpftool link list" "perf_event  prog"
}

# show NAME TYPE: one loader, from its start to its end
show() {
  expected=()
  seen=()
  total=0
  seen_total=0
  title "$1"
  run_loader "$1"
  commands_of_this_user
  if [[ $EUID -eq 0 ]]; then commands_of_other_users; fi
  what_bpftool_sees "$2"
  heading "What $1 printed: PID UID COMMAND MESSAGE of each execve"
  read_lines
  start true >/dev/null
  read_lines
  kill -TERM "$loader"
  while take_line -t "$timeout_s"; do :; done
  wait "$loader" || fail "$1 ended with status $?"
  loader=
  exec {lines}<&-
  compare || fail "$1 did not print what was executed"
  [[ ! -s $work/errors ]] || fail "$1 complained"
  summary+="$1 saw $seen_total of $total execve calls, each once. "
}

title() { printf '\n==== %s\n' "$*"; }
heading() { printf '\n-- %s\n' "$*"; }

summary=
show hello-buffer-config perf_event_array
show hello-ring-buffer-config ringbuf
printf '\ndemo: %s\n' "${summary% }"
