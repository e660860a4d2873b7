"""Debian's libbpf-tools, as they come: what they print is what happened, once each."""
import errno
import os
import re
import signal

from clients import ClientCase
from skep_e2e import main


def fd_and_errno(result):
    value = int(result)
    return (str(value), "0") if value >= 0 else ("-1", str(-value))


class LibbpfTools(ClientCase):
    def tool(self, name, *options, **kw):
        path = "/usr/sbin/" + name
        if not os.access(path, os.X_OK):
            self.skipTest("libbpf-tools' %s is not installed" % name)
        client = self.client(path, *options, **kw)
        return client

    def about_file(self, row):
        return any(w.startswith(self.file) for w in row)

    def test_execsnoop(self):
        c = self.tool("execsnoop", "-x", "-U").attached(2).settled()
        told = self.load("exec", self.file, 50)
        # UID PCOMM PID PPID RET ARGS: the name is the new image's where there is one; the first word of the arguments the file's.
        expected = [(str(self.home.user), "true" if ret == "0" else "clients_load", pid, ppid, ret, " ".join([path, *args, ""]))
                    for pid, ppid, ret, path, *args in told]
        self.check_rows(c, expected, lambda r: len(r) == 6 and self.file in r[5] and " mark" not in r[5]
                        and "clients_load" not in r[5], 6)
        self.assert_no_doctor()

    def test_execsnoop_without_failures(self):
        c = self.tool("execsnoop", "-n", "true").attached(2).settled()
        told = self.load("exec", self.file, 5)
        expected = [("true", pid, ppid, ret, " ".join([path, *args, ""])) for pid, ppid, ret, path, *args in told if ret == "0"]
        self.check_rows(c, expected, lambda r: len(r) == 5 and self.file in r[4] and " mark" not in r[4], 5)

    def test_opensnoop(self):
        c = self.tool("opensnoop", "-U").attached(4).settled()
        told = self.load("open", self.file, 6)
        # UID PID COMM FD ERR PATH
        expected = [(str(self.home.user), pid, comm, *fd_and_errno(ret), path) for pid, _, comm, ret, path in told]
        self.check_rows(c, expected, self.about_file)
        self.assert_no_doctor()

    def test_opensnoop_of_failures(self):
        c = self.tool("opensnoop", "-x").attached(4)
        # What succeeds, the marks among it, is not shown: the failures of one load say when it is ready.
        for _ in range(20):
            self.load("open", self.file)
            if c.await_lines("failures", lambda _: c.rows(self.about_file), 1.0, must=False):
                break
        from_now = len(c.lines)
        told = self.load("open", self.file, 2)
        expected = sorted((pid, comm, *fd_and_errno(ret), path) for pid, _, comm, ret, path in told if int(ret) < 0)
        mine = lambda: sorted(r for r in c.rows(self.about_file) if r[0] in {e[0] for e in expected})
        c.await_lines("the failures", lambda _: len(mine()) >= len(expected), must=False)
        self.assert_same(expected, mine())
        self.assertTrue(all(r[3] != "0" for r in c.rows(self.about_file)), c.lines[from_now:])

    def test_statsnoop(self):
        """0.26 looks for tracepoints called "statfs" instead of "sys_enter_statfs", finds none, on Linux too, and sees nothing."""
        c = self.tool("statsnoop")
        c.await_line("^PID +COMM")
        self.load("stat", self.file, 2)
        self.assertEqual(c.stop(status=0), ["PID     COMM                 RET  ERR  PATH"])
        self.assert_no_doctor()

    def kill_rows(self, told):
        # PID COMM SIG TPID RESULT, after the time
        return [(pid, "clients_load", sig, target, ret) for pid, sig, target, ret in told]

    def test_killsnoop(self):
        c = self.tool("killsnoop").attached(2).settled()
        told = self.load("kill", self.file, 20)
        expected = self.kill_rows(told)
        from_here = {r[0] for r in expected}
        self.check_rows_without_time(c, expected, lambda r: len(r) == 6 and r[1] in from_here)
        self.assert_no_doctor()

    def check_rows_without_time(self, client, expected, keep):
        plain = client.rows
        client.rows = lambda keep_, width=None: [r[1:] for r in plain(keep_, width)]
        self.check_rows(client, expected, keep)

    def test_killsnoop_of_failures(self):
        c = self.tool("killsnoop", "-x").attached(2)
        told = []
        for _ in range(20):
            told += self.load("kill", self.file, 1)
            if c.await_lines("failures", lambda _: c.rows(lambda r: r[-1] == str(-errno.ESRCH)), 1.0, must=False):
                break
        c.await_line(r"clients_load +99 +%s +-22" % told[-1][0])
        self.assertEqual([l for l in c.lines[1:] if not re.search(r"-\d+\s*$", l)], [])

    def test_sigsnoop(self):
        """signal_generate: what kill() made of its calls, those with signal 0 not among them."""
        c = self.tool("sigsnoop", "-n").attached(1)
        for _ in range(20):
            self.load("kill", self.file, 2)
            if c.await_lines("a signal", lambda _: c.rows(lambda r: "clients_load" in r), 1.0, must=False):
                break
        told = self.load("kill", self.file, 20)
        mine = {r[0] for r in told}
        expected = [(pid, "clients_load", signal.Signals(int(sig)).name, target, "0")
                    for pid, sig, target, ret in told if ret == "0" and sig != "0"]
        got = lambda: [r[1:] for r in c.rows(lambda r: len(r) == 6 and r[1] in mine)]
        c.await_lines("the signals", lambda _: len(got()) >= len(expected), must=False)
        self.assert_same(expected, got())

    def exits(self, *options):
        c = self.tool("exitsnoop", *options).attached(1).settled()
        told = self.load("exit", self.file, 20)
        # PCOMM PID PPID TID AGE EXIT_CODE
        rows = [("clients_load", pid, ppid, tid, "0" if (code, sig) == ("0", "0") else
                 "code %s" % code if sig == "0" else "signal %s (%s)" % (sig, signal.strsignal(int(sig))))
                for pid, ppid, tid, code, sig in told]
        tids = {r[3] for r in rows}
        mine = lambda: c.rows(lambda r: len(r) == 6 and r[3] in tids, 6)
        # Who is killed by a signal makes no call that could be seen. It is not shown, or shown right.
        expected = [r for r in rows if not r[4].startswith("signal")]
        c.await_lines("the exits", lambda _: len(mine()) >= len([e for e in expected if options or e[1] == e[3]]), must=False)
        c.mark()
        c.nothing_lost()
        got = [(*r[:4], r[5].strip()) for r in mine()]
        ages = [float(r[4]) for r in mine()]
        self.assertTrue(all(0.0 <= a < 60.0 for a in ages), ages)
        self.assert_no_doctor()
        self.assertEqual([r for r in got if r not in rows], [])
        return expected, [r for r in got if r in expected]

    def test_exitsnoop(self):
        expected, got = self.exits()
        self.assert_same([r for r in expected if r[1] == r[3]], got)

    def test_exitsnoop_of_threads(self):
        self.assert_same(*self.exits("-T"))

    def test_syscount(self):
        c = self.tool("syscount", "-T", "200", "-e", "ENOTDIR", "-x").attached(1)
        told = self.load("open", self.file, 1) + self.load("stat", self.file, 1)
        lines = c.stop()
        counts = {r[0]: int(r[1]) for r in c.rows(lambda r: len(r) == 2 and r[1].isdigit())}
        self.assertEqual(counts.get("open"), sum(1 for r in told if r[4].endswith("/x")) // 2, lines)
        self.assertEqual(counts.get("statfs"), sum(1 for r in told if r[4].endswith("/x")) // 2, lines)

    def test_syscount_by_process_and_latency(self):
        c = self.tool("syscount", "-P", "-L", "-T", "500").attached(2)
        told = self.load("stat", self.file, 30)
        lines = c.stop()
        mine = [r for r in c.rows(lambda r: len(r) == 4) if r[0] == told[0][0]]
        self.assertEqual(len(mine), 1, lines)
        self.assertEqual(mine[0][1], "clients_load")
        self.assertGreaterEqual(int(mine[0][2]), len(told) - 64)  # without those of the two children
        self.assertGreater(float(mine[0][3]), 0.0)

    def test_mountsnoop(self):
        c = self.tool("mountsnoop").attached(4).settled()
        told = self.load("mount", self.file, 5)
        # COMM PID TID MNT_NS CALL
        mine = told[0][0]
        name = lambda ret: "-" + errno.errorcode[-int(ret)] if int(ret) < 0 else ret
        mounts = 'mount("skep-source", "%s", "tmpfs", MS_RDONLY, "skep-data") = %s'
        expected = [("clients_load", mine, mine, str(os.stat("/proc/self/ns/mnt").st_ino), (mounts if call == "mount" else
                     'umount("%s", MS_NOSUID) = %s'  # as the tool reads 2, MNT_DETACH
                    ) % (self.file, name(ret))) for _, call, ret in told]
        self.check_rows(c, expected, lambda r: len(r) == 5 and r[1] == mine, 5)
        self.assert_no_doctor()


if __name__ == "__main__":
    main()
