"""bpftrace 0.17 as Debian has it. It insists on root: --fake-root."""
import re
import subprocess

from clients import PYTHON, SESSION, ClientCase
from skep_e2e import main, read_line

# getpriority(which, who) for a hundred who that nobody is: ESRCH, or for which = 3 EINVAL; then its pid.
HUNDRED = """
import os
for i in range(100):
    try: os.getpriority(3 if i % 10 == 9 else 0, 1000000000 + i)
    except OSError: pass
print(os.getpid())
"""
MINE = "/args->who >= 1000000000 && args->who < 1000000100/"


class BpftraceCase(ClientCase):
    def bpftrace(self, *args, **kw):
        return self.client("bpftrace", *args, fake_root=True, **kw)

    def assert_no_doctor(self):
        """bpftrace asks whether there is kprobe_multi by a function that is no system call's, and does without."""
        self.assertEqual([l for l in self.home.doctor(SESSION) if not l.startswith("kprobe_multi on ksys_read:")], [])


class Bpftrace(BpftraceCase):
    def hundred(self):
        return self.home.run([PYTHON, "-c", HUNDRED], SESSION).expect(self, 0, err="").out.strip()

    def bars(self, lines, name):
        """{what stands in brackets: number} of the histogram @name."""
        at = lines.index("@%s: " % name)
        found = {}
        for line in lines[at + 1:]:
            m = re.match(r"(\[.*?[\])])\s+(\d+) \|", line)
            if not m:
                break
            found[m.group(1)] = int(m.group(2))
        return found

    def test_aggregations(self):
        c = self.bpftrace("-e", "tracepoint:syscalls:sys_enter_getpriority " + MINE + """ { $v = args->who - 1000000000;
            @count = count(); @sum = sum($v); @avg = avg($v); @min = min($v); @max = max($v); @stats = stats($v);
            @hist = hist($v); @lhist = lhist($v, 0, 90, 10); @by[comm, pid, tid, uid] = count(); @last = $v;
            @which[args->which]++; }""").attached(1)
        pid = self.hundred()
        lines = c.stop(status=0)
        for line in ("@count: 100", "@sum: 4950", "@avg: 49", "@min: 0", "@max: 99", "@stats: count 100, average 49, total 4950",
                     "@last: 99", "@by[python3, %s, %s, %d]: 100" % (pid, pid, self.home.user), "@which[0]: 90", "@which[3]: 10"):
            self.assertIn(line, lines)
        self.assertEqual(self.bars(lines, "hist"), {"[0]": 1, "[1]": 1, "[2, 4)": 2, "[4, 8)": 4, "[8, 16)": 8, "[16, 32)": 16,
                                                    "[32, 64)": 32, "[64, 128)": 36})
        tens = {"[%d, %d)" % (n, n + 10): 10 for n in range(0, 90, 10)}
        self.assertEqual(self.bars(lines, "lhist"), {**tens, "[90, ...)": 10})
        self.assert_no_doctor()

    def test_both_sides_of_calls_by_all_kinds_of_probes(self):
        c = self.bpftrace("-e", """
            tracepoint:syscalls:sys_enter_getpriority %s { @in[pid] = count(); @mine[tid] = 1; }
            tracepoint:syscalls:sys_exit_getpriority /@mine[tid]/ { @out[args->ret] = count(); }
            tracepoint:raw_syscalls:sys_enter /args->id == 140 && args->args[1] >= 1000000000/ { @raw_in[args->args[0]] = count(); }
            tracepoint:raw_syscalls:sys_exit /args->id == 140 && @mine[tid]/ { @raw_out[args->ret] = count(); }
            kprobe:__x64_sys_getpriority { @kprobe[func] = count(); }
            kretprobe:__x64_sys_getpriority /@mine[tid]/ { @kret[(int32)retval] = count(); }
            END { clear(@mine); }""" % MINE).attached(6)
        pid = self.hundred()
        lines = c.stop(status=0)
        for line in ("@in[%s]: 100" % pid, "@out[-3]: 90", "@out[-22]: 10", "@raw_in[0]: 90", "@raw_in[3]: 10", "@raw_out[-3]: 90",
                     "@raw_out[-22]: 10", "@kprobe[__x64_sys_getpriority]: 100", "@kret[-3]: 90", "@kret[-22]: 10"):
            self.assertIn(line, lines)
        self.assert_no_doctor()

    def test_lines_of_each_exec(self):
        c = self.bpftrace("-e", """tracepoint:syscalls:sys_enter_execve {
            printf("%d %d %s %s %d\\n", pid, uid, comm, str(args->filename), tid); join(args->argv); }""").attached(1)
        told = self.load("exec", self.file, 50)
        expected = [(pid, str(self.home.user), "clients_load", path, pid) for pid, _, _, path, *_ in told]
        mine = {r[0] for r in told}
        self.check_rows(c, expected, lambda r: len(r) == 5 and r[0] in mine)
        # In each processor's order the arguments follow; join() prints them with blanks between.
        joined = [l for l in c.lines if re.fullmatch(r"(true|none) %s \d+" % re.escape(self.file), l)]
        self.assertEqual(sorted(joined),
                         sorted(" ".join(["true" if ret == "0" else "none", *args]) for _, _, ret, _, *args in told))
        self.assert_no_doctor()

    def test_strings_of_opens_wherever_they_happen(self):
        c = self.bpftrace("-e", """
            tracepoint:syscalls:sys_enter_open, tracepoint:syscalls:sys_enter_openat { @name[tid] = args->filename; }
            tracepoint:syscalls:sys_exit_open, tracepoint:syscalls:sys_exit_openat /@name[tid]/ {
              printf("%d %d %s %d %s\\n", pid, tid, comm, args->ret, str(@name[tid])); delete(@name[tid]); }""").attached(4)
        told = self.load("open", self.file, 5)
        self.check_rows(c, told, lambda r: len(r) == 5 and r[4].startswith(self.file))
        self.assert_no_doctor()

    def test_begin_interval_end(self):
        c = self.bpftrace("-e", """BEGIN { printf("begin %d\\n", pid); @start = nsecs; }
            interval:ms:20 { @n++; @d = (nsecs - @start) / 1000000; if (elapsed > 500000000) { exit(); } }
            END { printf("end %d %d\\n", @n, @d); clear(@start); print(@n); clear(@n); }""")
        lines = c.wait(0)
        n, ms = map(int, next(l for l in lines if l.startswith("end ")).split()[1:])
        self.assertGreaterEqual(ms, 450)
        self.assertGreaterEqual(n, 1)
        self.assertLessEqual(n, ms // 20 + 1)
        self.assertEqual(len([l for l in lines if l.startswith("begin ")]), 1)
        self.assertEqual(lines.count("@n: %d" % n), 1)
        self.assert_no_doctor()

    def test_interval_of_a_second(self):
        c = self.bpftrace("-e", '''interval:s:1 { printf("tick %d\\n", elapsed / 1000000000);
            if (elapsed > 1900000000) { exit(); } }''')
        lines = c.wait(0)
        self.assertEqual([l for l in lines if l.startswith("tick")], ["tick 1", "tick 2"])

    def test_command(self):
        c = self.bpftrace("-e", """
            tracepoint:syscalls:sys_enter_getpriority /pid == cpid && args->who >= 1000000000/ { @ = count(); }
            tracepoint:sched:sched_process_exit /pid == cpid/ { printf("gone %s\\n", comm); }""",
                          "-c", self.script_file(HUNDRED))
        lines = c.wait(0)
        self.assertIn("@: 100", lines)
        self.assertIn("gone python3", lines)
        self.assert_no_doctor()

    def script_file(self, text):
        path = self.file + ".py"
        with open(path, "w") as f:
            f.write(text)
        return "%s %s" % (PYTHON, path)

    def test_of_a_process(self):
        cat = self.home.start(["cat"], SESSION, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cat.stdin.write(b"x\n")
        self.assertEqual(read_line(cat.stdout), "x\n")
        with open("/proc/%d/task/%d/children" % (cat.pid, cat.pid)) as f:
            pid = f.read().strip()
        probe = "tracepoint:syscalls:sys_enter_write /pid == %s/ { @[comm] = count(); }" % pid
        c = self.bpftrace("-p", pid, "-e", probe).attached(1)
        for _ in range(5):
            cat.stdin.write(b"x\n")
            read_line(cat.stdout)
        cat.stdin.close()
        self.assertIn("@[cat]: 5", c.wait(0))  # it ends with the process

    def test_lists(self):
        def listed(*args):
            return [l for l in self.bpftrace(*args).wait(0) if l]
        opens = listed("-l", "tracepoint:syscalls:*open*")
        names = {l.rsplit(":", 1)[1] for l in opens}
        self.assertEqual(len(names), len(opens))
        want = {"open", "openat", "openat2", "open_by_handle_at", "open_tree", "mq_open", "fsopen", "perf_event_open", "pidfd_open"}
        self.assertEqual(names, {side + n for n in want for side in ("sys_enter_", "sys_exit_")})
        self.assertEqual(listed("-lv", "tracepoint:syscalls:sys_enter_openat"),
                         ["tracepoint:syscalls:sys_enter_openat", "    int __syscall_nr", "    int dfd",
                          "    const char * filename", "    int flags", "    umode_t mode"])
        self.assertEqual(set(listed("-l", "kprobe:__x64_sys_exec*")), {"kprobe:__x64_sys_execve", "kprobe:__x64_sys_execveat"})
        self.assertIn("tracepoint:raw_syscalls:sys_enter", listed("-l", "tracepoint:raw_syscalls:*"))

    def test_several_probes_by_wildcard(self):
        c = self.bpftrace("-e", "tracepoint:syscalls:sys_enter_getp* { @[probe] = count(); }")
        # getpeername, getpgid, getpgrp, getpid, getppid, getpriority
        c.attached(6)
        self.hundred()
        self.assertIn("@[tracepoint:syscalls:sys_enter_getpriority]: 100", c.stop(status=0))

    def test_stacks(self):
        c = self.bpftrace("-e", """kprobe:__x64_sys_getpriority { @k[kstack] = count(); @u[ustack(1)] = count(); }""").attached(1)
        stay = HUNDRED + "\nimport sys; sys.stdout.flush(); sys.stdin.read()"
        busy = self.home.start([PYTHON, "-c", stay], SESSION, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        read_line(busy.stdout)
        text = "\n".join(c.stop(status=0))
        busy.stdin.close()
        self.assertRegex(text, r"@k\[\n\s+__x64_sys_getpriority\+\d+\n(.*\n)*?\]: 100")
        self.assertRegex(text, r"@u\[\n\s+(__)?getpriority\+\d+\n\]: 100")

    def test_scripts_of_debian(self):
        """/usr/sbin/*.bt: two of them that need system calls alone."""
        c = self.bpftrace(self.need("execsnoop.bt")).attached(1)
        told = self.load("exec", self.file, 3)
        for pid, _, ret, _, *args in told:
            c.await_line(r"\b%s +%s" % (pid, re.escape(" ".join(["true" if ret == "0" else "none", *args]))))
        c = self.bpftrace(self.need("opensnoop.bt")).attached(4)
        told = self.load("open", self.file, 1)
        for pid, _, comm, ret, path in told:
            fd, error = (ret, "0") if int(ret) >= 0 else ("-1", ret[1:])
            c.await_line(r"^%s +%s +%s +%s %s$" % (pid, comm, fd, error, re.escape(path)))


class BadInput(BpftraceCase):
    def test_a_clock_that_finds_out_what_runs(self):
        """Refused: answering with the one process that the session's alarms go off in would be a wrong answer."""
        lines = self.bpftrace("-e", "profile:hz:99 { @ = count(); }").wait()
        self.assertIn("profile:hz:99", "\n".join(lines))
        self.assertTrue(any("perf_event_open" in l for l in self.home.doctor(SESSION)), self.home.doctor(SESSION))

    def test_names_that_are_not_there(self):
        for probe, message in (("tracepoint:syscalls:sys_enter_nonsense", "tracepoint not found"),
                               ("tracepoint:nonsense:nonsense", "tracepoint not found"), ("kprobe:tcp_connect", "tcp_connect")):
            lines = self.bpftrace("-e", probe + " { @ = count(); }").wait()
            self.assertIn(message, "\n".join(lines))
        self.assertTrue(any("tcp_connect" in l for l in self.home.doctor(SESSION)), self.home.doctor(SESSION))
        self.assertEqual(self.home.counts(SESSION), {k: 0 for k in self.home.counts(SESSION)})

    def test_not_root(self):
        lines = self.client("bpftrace", "-e", "BEGIN { exit(); }").wait(1)
        self.assertIn("only supports running as the root user", "\n".join(lines))


if __name__ == "__main__":
    main()
