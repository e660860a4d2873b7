"""What cannot carry the agent runs all the same, with its own output and status, is told of once, and does not reach the real
bpf(2). What carries it does not notice."""
import errno
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from skep_e2e import IS_ROOT, NOBODY, PERF, RING, Case, Loader, Result, exit_status, main, read_line, tool

CITIZENS = ("segv", "segv-default", "segv-in-handler", "segv-resethand", "segv-pending", "masks", "masks-exec", "masked-waits",
            "fork-in-threads", "spawn-in-threads", "vfork-exit", "clones", "cancel", "system-popen", "few-files", "low-numbers", "strict",
            "own-filter", "own-filter-children", "sigchld", "interrupted", "nothing")


def bare(argv, **kw):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, **kw)
    return Result(exit_status(r.returncode), r.stdout.decode(), r.stderr.decode())


class Untraced(Case):
    """Without the launcher that kills: whether the machine's own bpf(2) is reached is the question."""
    confined = False

    def check(self, path, why, uid=None):
        uid = os.geteuid() if uid is None else uid
        hello = "hello\n" if path.endswith("i386") else "hello %d %d\n" % (os.geteuid(), uid)
        # By `skep run` itself: one line on stderr.
        told = "skep: %s is %s: it runs untraced\n" % (path, why)
        self.home.run([path, "hello"]).expect(self, 42, hello, told)
        if not path.endswith("i386"):
            self.home.run([path, "kill"]).expect(self, 128 + 10, "", told)
        # From a traced process: one line in doctor, none on stderr.
        self.home.keep("far")
        self.home.run(["sh", "-c", '"$0" hello; exit $?', path], "far").expect(self, 42, hello, "")
        lines = [l for l in self.home.doctor("far") if path in l]
        self.assertEqual(len(lines), 1, self.home.doctor("far"))
        self.assertIn("untraced", lines[0])
        self.assertIn(why, lines[0])

    def check_fence(self, path):
        """Root, or any user of a machine whose bpf(2) is open to all, would succeed with the real calls."""
        refused = "%d\n" % errno.EPERM
        # Software events of their own are open to ordinary users, and harmless: no program can be attached without bpf(2).
        for what in ("bpf", "perf") if IS_ROOT else ("bpf",):
            by_machine = bare([path, what]).out
            if by_machine == "%d\n" % errno.EACCES:  # perf_event_paranoid has spoken already
                continue
            inner = '(exec sh -c \'"$0" %s; :\' "$0"); :' % what
            for command in ([path, what], ["sh", "-c", '"$0" %s; :' % what, path], ["sh", "-c", inner, path]):
                with self.subTest(command=command):
                    self.assertEqual(self.home.run(command).out, refused, "bare: %s" % by_machine)

    def both(self, path, why):
        self.check(path, why)
        self.check_fence(path)

    def test_static(self):
        self.both(self.need_tool("foreign_static", "no static libc to link with"), "statically linked")

    def test_musl(self):
        self.both(self.need_tool("foreign_musl", "musl-gcc is not installed"), "not linked to glibc")

    def test_i386(self):
        path = self.need_tool("foreign_i386", "gcc -m32 cannot link here")
        try:
            if bare([path, "hello"]).status != 42:
                self.skipTest("this kernel does not run 32-bit programs")
        except OSError as e:
            self.skipTest("this kernel does not run 32-bit programs: %s" % e)
        self.both(path, "not an x86-64 program")

    def test_setuid(self):
        self.need_root("make a setuid file")
        path = os.path.join(self.home.top, "setuid")
        shutil.copy(tool("foreign"), path)
        os.chown(path, NOBODY, NOBODY)
        os.chmod(path, 0o4755)
        if bare([path, "hello"]).out != "hello 0 %d\n" % NOBODY:
            self.skipTest("setuid files are ignored under %s" % self.home.top)
        self.check(path, "setuid or setgid", uid=NOBODY)

    def test_grandchildren_of_untraced_programs_are_fenced(self):
        """A static shell's children: a glibc program there still has the agent, and another static one still no real bpf(2)."""
        path = self.need_tool("foreign_static", "no static libc to link with")
        self.need("busybox")
        if "statically" not in bare(["file", "-L", self.need("busybox")]).out:
            self.skipTest("busybox is not static")
        self.assertEqual(self.home.run([self.need("busybox"), "sh", "-c", '"$0" bpf; :', path]).out, "%d\n" % errno.EPERM)
        r = self.home.run([self.need("busybox"), "sh", "-c", '"$0" map list; echo $?', self.need("bpftool")])
        self.assertEqual(r.out, "0\n", "the agent stays in its environment; the machine's own maps are not the session's")


class Unreadable(Case):
    """As an ordinary user: a file that may be run and not read."""

    def test_execute_only(self):
        path = os.path.join(self.home.top, "execute-only")
        shutil.copy(tool("foreign"), path)
        os.chmod(path, 0o111)
        if IS_ROOT:
            os.chown(path, 0, 0)
        hello = "hello %d %d\n" % (self.home.user, self.home.user)
        self.home.run([path, "hello"]).expect(self, 42, hello, "skep: %s is not readable: it runs untraced\n" % path)
        self.home.run(["sh", "-c", '"$0" hello; exit $?', path]).expect(self, 42, hello, "")


class Citizens:
    loader = None

    def run_citizen(self, what):
        bare([tool("citizen"), what]).expect(self, 0, "ok\n", "")
        loader = Loader(self.home, self.loader, "citizen") if self.loader else None
        self.home.run([tool("citizen"), what], "citizen", timeout=100).expect(self, 0, "ok\n", "")
        if loader:
            # Nobody was disturbed, the loader included.
            loader.fence()
            # Calls of programs that filter their own, or share a thread's memory, are counted instead of told.
            if what not in ("own-filter", "own-filter-children", "clones"):
                self.assertEqual(self.home.doctor("citizen"), [])
            status, err = loader.stop()
            # A burst of failing execve calls is more than a ring of 4 KiB can hold; all else is not.
            self.assertEqual((status, re.sub(r"lost \d+ samples\n", "", err) if what == "interrupted" else err), (0, ""))


for w in CITIZENS:
    test = lambda self, w=w: self.run_citizen(w)
    # A SIGSEGV that is sent while the program believes it blocked is kept for it, but sigpending and signalfd do not show it yet.
    setattr(Citizens, "test_" + w.replace("-", "_"), unittest.expectedFailure(test) if w == "segv-pending" else test)


class Alone(Citizens, Case):
    pass


class Watched(Citizens, Case):
    """With a probe on execve."""
    loader = RING


class OwnFilter(Case):
    """Calls of a program that filters its own system calls are told or counted as missed: none is lost without a word."""

    def test_own_filter_events(self):
        for name in (PERF, RING):
            with self.subTest(loader=name):
                loader = Loader(self.home, name, name)
                self.home.run([tool("citizen"), "own-filter"], name).expect(self, 0, "ok\n", "")
                told = sum(1 for e in loader.fence() if e.comm == "citizen")
                counted = r"events (?:that found no free virtual CPU|skipped in processes that filter .*): (\d+)"
                missed = sum(int(n) for l in self.home.doctor(name) for n in re.findall(counted, l))
                self.assertEqual(told + missed, 40)
                self.assertEqual(loader.stop(), (0, ""))


class Limits(Case):
    def test_its_own_address_space_limit(self):
        """A program's own limit holds for the program, not for the window: it stays traced."""
        loader = Loader(self.home, PERF, "small")
        script = """ulimit -v 1000000; ulimit -v; "$0" nothing; "$0" system-popen; /bin/true & echo $!; wait
                    dd if=/dev/zero of=/dev/null bs=2G count=1 2>/dev/null || echo refused"""
        lines = self.home.run(["sh", "-c", script, tool("citizen")], "small").expect(self, 0, err="").out.splitlines()
        self.assertEqual((lines[:3], lines[4:]), (["1000000", "ok", "ok"], ["refused"]))
        self.assertEqual([e.comm for e in loader.fence() if e.pid == int(lines[3])], ["sh"])
        self.assertEqual(loader.stop(), (0, ""))

    def test_no_room_for_the_window(self):
        """Limited from outside: what it starts from now on runs untraced, and is told of."""
        self.home.keep("small")
        shell = self.home.start(["sh"], "small", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shell.stdin.write(b"echo $$\n")
        pid = read_line(shell.stdout).strip()
        self.home.run_plain(self.home.prefix() + [self.need("prlimit"), "--pid", pid, "--as=%d" % (1 << 30)]).expect(self, 0)
        out, err = shell.communicate(b"%s nothing; %s system-popen; exit 5" % ((tool("citizen").encode(),) * 2), timeout=60)
        self.assertEqual((shell.returncode, out, err), (5, b"ok\nok\n", b""))
        lines = [re.sub(r" \(\d+ times\)$", "", l) for l in self.home.doctor("small")]
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], "untraced.*address space limit")

    def test_skep_itself_with_little_address_space(self):
        r = self.home.run_plain(["sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh", *self.home.skep_argv(["true"])])
        self.assertTrue(r.status == 0 or (r.status == 125 and re.fullmatch(r"skep: [^\n]+\n", r.err)), r)

    def test_deep_directory_and_removed_directory(self):
        with tempfile.TemporaryDirectory(dir=self.home.top) as d:
            os.chmod(d, 0o777)
            script = 'cd "$0" && mkdir gone && cd gone && rmdir "$0/gone" && /bin/true && (cd / && /bin/true) && echo fine'
            self.home.run(["sh", "-c", script, d]).expect(self, 0, "fine\n", "")


if __name__ == "__main__":
    main()
