# shellcheck shell=dash
# What scripts/test-on-linux runs in the guest, as /guest/main.sh: the example programs, then the native gtest binaries.
# BUILD is the build directory (the same path in and out of the box). One line on fd 3 for each case:
# `ok NAME`, `FAIL NAME: reason` or `skip NAME`; `end` when all have run.
#
# shellcheck source=/dev/null
. /guest/env # BUILD=...

ok() { echo "  ok $1"; echo "ok $1" >&3; }
bad() { echo "FAIL $1: $2"; echo "FAIL $1: $2" >&3; }

# same NAME EXPECTED ACTUAL
same() {
  if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "want [$2] have [$3]"; fi
}

# has NAME TEXT ACTUAL
has() {
  case $3 in *"$2"*) ok "$1" ;; *) bad "$1" "want ...[$2]... have [$3]" ;; esac
}

# within SECONDS COMMAND...: repeats the command until it succeeds
within() {
  end=$(($(date +%s) + $1))
  shift
  until "$@"; do
    [ "$(date +%s)" -lt "$end" ] || return 1
    usleep 50000
  done
}

# Starts $loader with the given arguments and returns when it is attached. Its lines go to ./out, its words to ./err.
# busybox's timeout execs the loader itself, before it is attached: no line of `out` is of our making.
start_loader() {
  rm -f ready
  mkfifo ready
  timeout 120 "$loader" --ready-fd 9 "$@" >out 2>err 3>&- 9>ready &
  loader_pid=$!
  byte=
  # shellcheck disable=SC3045 # the guest's shell is busybox: it has read -n
  read -r -n 1 -t 60 byte <ready
  [ "$byte" = R ]
}

# ended NAME: the loader ends, and with status 0
ended() {
  wait "$loader_pid"
  same "$1" 0 $?
}

no_programs() { [ -z "$(bpftool prog list)" ]; }
lost_reported() { on_cpu 0 1; grep -q '^lost [1-9]' err; }
on_cpu() { taskset "$((1 << $1))" sh -c "i=0; while [ \$i -lt $2 ]; do /bin/true; i=\$((i + 1)); done"; }

# The three kinds of user, seven execve in all. Expected lines to ./want. `su` first becomes the user, then the user's shell.
commands_of_three_users() {
  /bin/true &
  echo "$! 0 init Hey root!" >want
  wait $!
  for user in "501 Hi user 501!" "502 Hello World"; do
    uid=${user%% *} message=${user#* }
    /bin/su -s /bin/sh "user$uid" -c 'exec /bin/true' &
    printf '%s\n' "$! 0 init Hey root!" "$! $uid su $message" "$! $uid sh $message" >>want
    wait $!
  done
}

sees_every_execve() {
  if ! start_loader -n 7; then
    bad "$1: attaches" "$(cat err)"
    return 1
  fi
  ok "$1: attaches"
  commands_of_three_users
  ended "$1: ends by itself after -n lines"
  cat out
  # The perf buffer's rings keep order on one CPU only.
  same "$1: a line for each execve, with its user's message" "$(sort want)" "$(sort out)"
  same "$1: no word on stderr" "" "$(cat err)"
}

shows_in_bpftool() { # NAME OUTPUT-MAP-TYPE FORMATTED-501
  start_loader || bad "$1: attaches again" "$(cat err)"
  bpftool prog list
  bpftool map list
  bpftool map dump name config
  bpftool perf list
  has "$1: bpftool prog list" "kprobe  name hello  tag " "$(bpftool prog list)"
  has "$1: bpftool map list" ": $2  name output  flags 0x0" "$(bpftool map list)"
  dump=$(bpftool -j map dump name config)
  has "$1: bpftool map dump, uid 0" '"formatted":{"key":0,"value":{"message":"Hey root!"}}' "$dump"
  has "$1: bpftool map dump, uid 501" "\"formatted\":{\"key\":501,\"value\":{\"message\":$3}}" "$dump"
  same "$1: bpftool perf list" "pid $loader_pid  prog_id  kprobe  func __x64_sys_execve  offset 0" \
    "$(bpftool perf list | sed 's/fd [0-9]*: //; s/prog_id [0-9]*/prog_id/')"
  kill -TERM "$loader_pid"
  ended "$1: SIGTERM ends it cleanly"
  if within 10 no_programs; then ok "$1: leaves nothing"; else bad "$1: leaves nothing" "$(bpftool prog list)"; fi
}

# More events than a stopped reader's ring holds (85 records of the ring buffer, some 600 of a CPU's perf buffer).
tells_of_lost_samples() {
  start_loader || bad "$1: attaches a third time" "$(cat err)"
  kill -STOP "$loader_pid"
  on_cpu 0 800
  kill -CONT "$loader_pid"
  if within 20 lost_reported; then ok "$1: tells of lost samples"; else bad "$1: tells of lost samples" "$(cat err)"; fi
  cat err
  kill -INT "$loader_pid"
  ended "$1: SIGINT ends it cleanly"
}

fails_in_one_line() {
  su user501 -c "$loader" >out 2>err
  same "$1: refused to an ordinary user: status" 1 $?
  same "$1: refused to an ordinary user: words" "$1: cannot load the program: Operation not permitted" "$(cat out err)"
}

test_loader() { # NAME OUTPUT-MAP-TYPE FORMATTED-501
  echo "== $1"
  loader=$BUILD/examples/$1/$1
  sees_every_execve "$1" || return
  shows_in_bpftool "$@"
  tells_of_lost_samples "$1"
  fails_in_one_line "$1"
}

test_xdp() {
  echo "== hello-xdp"
  bpftool prog load "$BUILD/examples/hello-xdp/hello.bpf.o" /sys/fs/bpf/hello
  same "hello-xdp: loads and is pinned" 0 $?
  dd if=/dev/zero of=packet bs=64 count=1 2>/dev/null
  has "hello-xdp: passes the packet" "Return value: 2," "$(bpftool prog run pinned /sys/fs/bpf/hello data_in packet repeat 3)"
  same "hello-xdp: has counted" '[{"value":{".bss":[{"counter":3}]}}]' "$(bpftool map dump name hello.bss | tr -d ' \n')"
  has "hello-xdp: has said so" "bpf_trace_printk: Hello World 2" "$(cat /sys/kernel/tracing/trace)"
  rm /sys/fs/bpf/hello
}

# A gtest binary: each of its tests is a case. One that dies has its last test named.
test_native() { # PROGRAM
  name=native/${1##*/}
  echo "== $name"
  (cd "${1%/*}" && SKEP_TEST_MODE=native exec timeout 200 "$1" --gtest_color=no) >log 2>&1 3>&-
  status=$?
  cat log
  sed -n "s|^\[       OK \] \(.*\) ([0-9]* ms)\$|ok $name: \1|p; s|^\[  SKIPPED \] \(.*\) ([0-9]* ms)\$|skip $name: \1|p" log >&3
  sed -n "s|^\[  FAILED  \] \(.*\) ([0-9]* ms)\$|FAIL $name: \1|p" log >&3
  if ! grep -q '^\[==========\] .* ran\.' log; then
    bad "$name" "did not run to its end; exit status $status; last test: $(sed -n 's/^\[ RUN      \] //p' log | tail -n 1)"
  elif [ $status -ne 0 ] && ! grep -q '^\[  FAILED  \] .* ([0-9]* ms)$' log; then
    bad "$name" "no test failed, but the exit status is $status"
  fi
}

test_loader hello-buffer-config perf_event_array '"Hi user 501!"'
# Twelve characters fill the message: bpftool takes what has no closing NUL for numbers.
test_loader hello-ring-buffer-config ringbuf '[72,105,32,117,115,101,114,32,53,48,49,33]'
test_xdp
for program in "$BUILD"/tests/native/*; do
  if [ -f "$program" ] && [ -x "$program" ]; then test_native "$program"; fi
done
echo end >&3
