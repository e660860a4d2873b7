"""bcc as Debian has it: scripts in the way of the book's chapter, and bcc's own tools. Some insist on root: --fake-root."""
import os
import re
import signal
import subprocess

import clients_bcc_scripts as scripts
from clients import CPUS, PYTHON, SESSION, ClientCase, have_bcc
from skep_e2e import await_state, main


def fd_and_errno(result):
    value = int(result)
    return (str(value), "0") if value >= 0 else ("-1", str(-value))


class BccCase(ClientCase):
    def setUp(self):
        if not have_bcc():
            self.skipTest("python3-bpfcc is not installed")
        super().setUp()

    def script(self, text, *args, **kw):
        return self.client(PYTHON, "-c", text, *args, fake_root=True, **kw)

    def tool(self, name, *options, **kw):
        return self.client(name + "-bpfcc", *options, fake_root=True, **kw)

    def about_file(self, row):
        return any(w.startswith(self.file) for w in row)


class Hello(BccCase):
    # Of what a real kernel gave: Linux 6.12, bcc 0.26.
    HEAD = {3: "anon_inode:btf", 4: "anon_inode:bpf-map", 5: "anon_inode:bpf-map", 6: "anon_inode:bpf-prog",
            7: "anon_inode:[perf_event]"}

    def fds(self, client):
        out = self.sh('for f in /proc/$0/fd/*; do echo "${f##*/} $(readlink $f)"; done', str(client.pid()))
        links = {int(n): to for n, to in (l.split(" ", 1) for l in out.splitlines())}
        return {fd: to for fd, to in links.items() if 2 < fd < 100}

    def fdinfo(self, client, fd):
        text = self.sh("cat /proc/$0/fdinfo/%d" % fd, str(client.pid()))
        return dict(l.split(":\t", 1) for l in text.splitlines())

    def check(self, text, value_size, output_type, later):
        c = self.script(text).attached(1)
        c.await_line("^ready$")
        self.assertEqual(self.fds(c), {**self.HEAD, **later})
        output, config, program = (self.fdinfo(c, fd) for fd in (4, 5, 6))
        self.assertEqual(output["map_type"], output_type)
        self.assertEqual([config[k] for k in ("map_type", "key_size", "value_size", "max_entries")],
                         ["1", "4", str(value_size), "10240"])
        self.assertEqual(program["prog_type"], "2")
        script = "for i in $(seq 50); do /bin/true & echo $!; wait; done"
        pids = self.sh(script).split()
        message = {0: ["Hey", "root!"], 501: ["Hi", "user", "501!"]}.get(self.home.user, ["Hello", "World"])
        expected = [(pid, str(self.home.user), "sh", *message) for pid in pids]
        self.check_rows(c, expected, lambda r: r[0] in pids)
        self.assert_no_doctor()
        lines = c.stop()
        self.assertIn("KeyboardInterrupt", lines[-1])  # as the script has it

    def test_perf_buffer(self):
        self.check(scripts.HELLO_PERF, 13, "4", {8 + cpu: "anon_inode:[perf_event]" for cpu in range(len(CPUS))})

    def test_ring_buffer(self):
        self.check(scripts.HELLO_RING, 12, "27", {8: "anon_inode:[eventpoll]"})


class Scripts(BccCase):
    def test_task_struct_by_header_offsets(self):
        c = self.script(scripts.TASK, "/marked").attached(1)
        c.await_line("^ready$")
        look = r"""
import ctypes, os, threading
libc = ctypes.CDLL(None)
stat = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
print("tgid", os.getpid()); print("leader", os.getpid()); print("ppid", os.getppid())
print("uid", os.getuid()); print("euid", os.geteuid()); print("gid", os.getgid())
print("parent_comm", open("/proc/%d/comm" % os.getppid()).read().strip())
for n in ("pid", "uts"): print(n + "_ns", os.stat("/proc/self/ns/" + n).st_ino)
print("flags", int(stat[6])); print("ticks", int(stat[19]))
def call():
    print("pid", threading.get_native_id())
    libc.prctl(15, b"bcc-thread")
    libc.statfs(b"/marked", ctypes.create_string_buffer(256))
t = threading.Thread(target=call); t.start(); t.join()
"""
        out = self.home.run(["sh", "-c", '"$@"; :', "sh", PYTHON, "-c", look], SESSION).expect(self, 0).out
        want = dict(l.split() for l in out.splitlines())
        got = dict(w.split("=") for w in c.await_line("^task .*").group(0).split()[1:])
        ticks = int(want.pop("ticks")) / os.sysconf("SC_CLK_TCK")
        want_flags, got_flags = int(want.pop("flags")), int(got.pop("flags"))
        self.assertEqual({k: got[k] for k in want}, want)
        self.assertEqual(got["comm"], "bcc-thread")
        # A thread's own start; the process's was at `ticks`, a hundredth of a second wide.
        self.assertLess(abs(int(got["start_time"]) / 1e9 - ticks), 60.0)
        self.assertLess(int(got["code"]), int(got["code_end"]))
        self.assertFalse(want_flags & 0x00200000)  # PF_KTHREAD
        self.assertFalse(got_flags & 0x00200000)

    def test_return_probe_stack_and_trace_pipe(self):
        c = self.script(scripts.PROBES).attached(2)
        c.await_line("^ready$")
        call = """import os, sys
for which in (0, 1, 5):
  try: os.getpriority(which, 1000004711)
  except OSError: pass
print(os.getpid(), flush=True)
sys.stdin.read()"""
        caller = self.home.start([PYTHON, "-c", call], SESSION, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lines = c.wait(0)
        caller.stdin.close()
        pid = caller.stdout.read().decode().strip()
        self.assertEqual([l for l in lines if l.startswith("trace")],
                         ["trace python3 %s which %d who 1000004711" % (pid, which) for which in (0, 1, 5)])
        self.assertIn("calls [(0, 1), (1, 1), (5, 1)]", lines)
        answers = dict(eval(next(l for l in lines if l.startswith("answers"))[8:]))  # pylint: disable=eval-used
        self.assertEqual(answers.get(-22 & 0xffffffff, answers.get(-22)), 1, lines)  # which 5: EINVAL
        self.assertEqual(sum(answers.values()), 3)
        frames = [l.split(None, 1)[1] for l in lines if l.startswith("frame")]
        self.assertTrue(frames and "getpriority" in frames[0], lines)
        kernel = next(l for l in lines if l.startswith("kernel "))
        self.assertIn("__x64_sys_getpriority", kernel, lines)

    def test_override_return(self):
        c = self.script(scripts.OVERRIDE).attached(1)
        c.await_line("^ready$")
        self.assertIn("cross-device", self.sh("mkdir /forbidden 2>&1; :").lower())
        self.sh('mkdir "$0/made" && rmdir "$0/made"', self.dir)
        c.stop()
        await_state("the probe to go", lambda: self.home.counts(SESSION)["attachments"] == 0)
        self.assertIn("Permission denied" if self.home.user else "", self.sh("mkdir /forbidden 2>&1; :"))


class BadInput(BccCase):
    def test_a_function_that_user_space_has_not(self):
        c = self.script(scripts.TCP)
        lines = c.wait(1)
        self.assertRegex("\n".join(lines), r"Failed to attach BPF program b'hello' to kprobe b'tcp_connect'")
        self.assertTrue(any("tcp_connect" in l for l in self.home.doctor(SESSION)), self.home.doctor(SESSION))
        self.assertEqual(self.home.counts(SESSION)["attachments"], 0)

    def test_a_tracepoint_that_is_not_there(self):
        lines = self.script(scripts.NO_TRACEPOINT).wait(1)
        self.assertNotIn("Segmentation", "\n".join(lines))

    def test_a_client_killed_half_way(self):
        before = self.home.counts(SESSION)
        c = self.script(scripts.HELLO_PERF).attached(1)
        c.await_line("^ready$")
        os.kill(c.pid(), signal.SIGKILL)
        await_state("its objects to go", lambda: self.home.counts(SESSION) == before)
        self.sh("/bin/true")
        c.wait(128 + signal.SIGKILL)

    def test_without_fake_root(self):
        c = self.client(PYTHON, "-c", scripts.HELLO_PERF).attached(1)
        c.await_line("^ready$")
        pid = self.sh("/bin/true & echo $!; wait").strip()
        c.await_line("^%s " % pid)


class Tools(BccCase):
    def test_execsnoop(self):
        c = self.tool("execsnoop", "-x", "-U").attached(2).settled()
        # It loses the arguments of who moves to another processor in execve(): the buffers of two processors are read in any order.
        told = self.load("exec", self.file, 50, cpu=CPUS[-1])
        expected = [(str(self.home.user), "true" if ret == "0" else "clients_load", pid, ppid, ret, " ".join([path, *args]))
                    for pid, ppid, ret, path, *args in told]
        self.check_rows(c, expected, lambda r: len(r) == 6 and self.file in r[5] and " mark" not in r[5]
                        and "clients_load" not in r[5], 6)
        self.assert_no_doctor()

    def test_opensnoop(self):
        c = self.tool("opensnoop", "-U").attached(4).settled()
        told = self.load("open", self.file, 6)
        expected = [(str(self.home.user), pid, comm, *fd_and_errno(ret), path) for pid, _, comm, ret, path in told]
        self.check_rows(c, expected, self.about_file)
        self.assert_no_doctor()

    def test_statsnoop(self):
        """0.26 takes the pointer to the caller's registers for the file's name: on Linux too, PATH is none."""
        c = self.tool("statsnoop").attached(8).settled()
        told = self.load("stat", self.file, 6)
        expected = [(pid, comm, *fd_and_errno(ret)) for pid, _, comm, ret, _ in told]
        mine = {r[0] for r in expected}
        got = lambda: [r[:4] for r in c.rows(lambda r: r[0] in mine)]
        c.await_lines("the calls", lambda _: len(got()) >= len(expected), must=False)
        c.mark()
        self.assert_same(expected, got())
        c.nothing_lost()
        self.assert_no_doctor()

    def test_killsnoop(self):
        c = self.tool("killsnoop").attached(2).settled()
        told = self.load("kill", self.file, 20)
        expected = [(pid, "clients_load", sig, target, ret) for pid, sig, target, ret in told]
        mine = told[0][0]
        shown = c.rows
        c.rows = lambda keep, width=None: [r[1:] for r in shown(keep, width)]
        self.check_rows(c, expected, lambda r: len(r) == 6 and r[1] == mine)
        self.assert_no_doctor()

    def test_exitsnoop(self):
        c = self.tool("exitsnoop", "--per-thread").attached(1).settled()
        told = self.load("exit", self.file, 10)
        # Who is killed by a signal makes no call that could be seen. It is not shown, or shown right.
        rows = [("clients_load", pid, ppid, tid, ("code %s" % code if code != "0" else "0") if sig == "0" else
                 "signal %s (%s)" % (sig, signal.Signals(int(sig)).name[3:])) for pid, ppid, tid, code, sig in told]
        tids = {r[3] for r in rows}
        expected = [r for r in rows if not r[4].startswith("signal")]
        mine = lambda: [(*r[:4], r[5].strip()) for r in c.rows(lambda r: len(r) == 6 and r[3] in tids, 6)]
        c.await_lines("the exits", lambda _: len(mine()) >= len(expected), must=False)
        c.mark()
        c.nothing_lost()
        self.assertEqual([r for r in mine() if r not in rows], [])
        self.assert_same(expected, [r for r in mine() if r in expected])
        self.assertTrue(all(0.0 <= float(r[4]) < 60.0 for r in c.rows(lambda r: len(r) == 6 and r[3] in tids, 6)), c.lines)
        self.assert_no_doctor()

    def test_syscount(self):
        c = self.tool("syscount", "-x", "-e", "ENOTDIR", "-T", "100").attached(1)
        c.await_line("^Tracing")
        told = self.load("open", self.file, 1) + self.load("stat", self.file, 1)
        lines = c.stop(status=0)
        counts = {r[0]: int(r[1]) for r in c.rows(lambda r: len(r) == 2 and r[1].isdigit())}
        each = sum(1 for r in told if r[4].endswith("/x")) // 2
        self.assertEqual((counts.get("open"), counts.get("statfs")), (each, each), lines)
        self.assert_no_doctor()

    def test_counts_and_traces_of_one_function(self):
        """The tools that take any probe."""
        count = self.tool("funccount", "__x64_sys_getprio*")
        trace = self.tool("trace", "t:syscalls:sys_enter_getpriority (args->who == 1000004711) \"which %d\", args->which")
        bpflist = r"(?m)^(\d+) +\S+ +(prog|map) +\d+$"
        count.await_line("^Tracing 1 functions")
        trace.attached(2)
        trace.await_line("^PID ")
        call = """import os
for i in range(100):
  try: os.getpriority(i % 2, 1000004711)
  except OSError: pass
print(os.getpid())"""
        pid = self.home.run([PYTHON, "-c", call], SESSION).expect(self, 0).out.strip()
        rows = lambda: trace.rows(lambda r: r[0] == pid)
        trace.await_lines("100 calls", lambda _: len(rows()) >= 100)
        listed = {int(m.group(1)) for m in re.finditer(bpflist, "\n".join(self.tool("bpflist").wait(0)))}
        self.assertTrue({count.pid(), trace.pid()} <= listed, listed)
        self.assert_same([(pid, pid, "python3", "sys_enter_getpriority", "which", str(i % 2)) for i in range(100)], rows())
        self.assertIn("__x64_sys_getpriority                     100", [l.rstrip() for l in count.stop(status=0)])
        trace.nothing_lost()


if __name__ == "__main__":
    main()
