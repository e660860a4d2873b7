# shellcheck shell=dash
# Runs in the guest of scripts/lib/linux-box.sh, under busybox: the outside witnesses and our text cases on a real Linux 6.12.
# What they say goes to fd 3, a part after another, each behind a line `== NAME`.
. /guest/env
echo "== release" >&3
uname -r >&3
echo "== logs" >&3
"$WITNESSES/bin/test_verifier" >&3 2>/dev/null
echo "== verdicts" >&3
VERDICT_ONLY=1 "$WITNESSES/bin/test_verifier" >&3 2>/dev/null
echo "== annotated" >&3
for object in "$WITNESSES"/progs/*.bpf.o "$WITNESSES"/progs-v4/*.bpf.o; do
  "$WITNESSES/bin/annotated" "$object" >&3 || printf 'crash\t%s\t*\t0\texit status %s\n' "$(basename "$object" .bpf.o)" $? >&3
done
# As under skep: what other kernels differ in must hold here.
echo "== cases" >&3
SKEP_TEST_MODE=skep "$CASES" --gtest_color=no >&3 2>&1
echo end >&3
