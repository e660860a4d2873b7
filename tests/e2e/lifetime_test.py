"""What lives how long: objects, pins, sessions, the host. Nothing is left behind, nobody's output is held."""
import os
import select
import signal
import subprocess
import time

from skep_e2e import LOADERS, PATIENCE, PERF, PYTHON, RING, XDP_OBJECT, Case, Loader, await_state, main, read_line

NOTHING = {"maps": 0, "progs": 0, "btfs": 0, "links": 0, "files": 0, "pins": 0, "attachments": 0}

MAP_HOLDER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
attr = (ctypes.c_uint32 * 5)(2, 4, 4, 1, 0)  # BPF_MAP_TYPE_ARRAY
fd = libc.syscall(321, 0, attr, ctypes.sizeof(attr))
assert fd >= 0, ctypes.get_errno()
if os.fork() != 0:
    os._exit(0)
print("made", flush=True)
sys.stdin.readline()
%s
print("left", flush=True)
sys.stdin.readline()
"""


class Objects(Case):
    def setUp(self):
        super().setUp()
        self.keeper = self.home.keep("l")

    def loader_pid(self, loader):
        run = loader.process.pid
        with open("/proc/%d/task/%d/children" % (run, run)) as f:
            return int(f.read().split()[0])

    def await_nothing(self):
        await_state("all objects to go; last: %r" % self.home.counts("l"), lambda: self.home.counts("l") == NOTHING)

    def test_a_new_session_has_nothing(self):
        self.assertEqual(self.home.counts("l"), NOTHING)

    def test_they_go_when_the_holder_ends(self):
        for name in LOADERS:
            for sig, status in ((signal.SIGTERM, 0), (signal.SIGKILL, 128 + 9)):
                with self.subTest(loader=name, signal=sig):
                    loader = Loader(self.home, name, "l")
                    held = self.home.counts("l")
                    for what in ("maps", "progs", "btfs", "links", "files", "attachments"):
                        self.assertGreater(held[what], 0, held)
                    os.kill(self.loader_pid(loader), sig)
                    _, err = loader.process.communicate(timeout=PATIENCE)
                    self.assertEqual((loader.process.returncode, err), (status, b""))
                    self.await_nothing()

    def test_close_is_seen_before_it_returns(self):
        """bpftool that follows a loader's end at once sees nothing of it: no waiting in between."""
        self.need("bpftool")
        script = """bpftool map create /sys/fs/bpf/m type array key 4 value 4 entries 1 name one
                    bpftool -j map list | grep -c one; rm /sys/fs/bpf/m; bpftool -j map list; bpftool -j map list"""
        self.home.run(["sh", "-c", script], "l").expect(self, 0, "1\n[]\n[]\n", "")

    def test_a_pinned_program_survives_its_loader(self):
        self.need("bpftool")
        self.home.run(["bpftool", "prog", "load", XDP_OBJECT, "/sys/fs/bpf/x"], "l").expect(self, 0)
        held = self.home.counts("l")
        self.assertEqual((held["progs"], held["pins"], held["files"]), (1, 1, 0), held)
        self.home.run(["bpftool", "prog", "show", "pinned", "/sys/fs/bpf/x"], "l").expect(self, 0)
        self.home.run(["rm", "/sys/fs/bpf/x"], "l").expect(self, 0)
        self.await_nothing()

    def test_an_inherited_fd_holds(self):
        """Who made the map is gone, a fork child that never used it has its fd: the map stays, and goes with the child."""
        if not os.access(PYTHON, os.X_OK):
            self.skipTest("%s is not installed" % PYTHON)
        for leave in ("os.close(fd)", "os.kill(os.getpid(), 9)"):
            with self.subTest(leave=leave):
                p = self.home.start([PYTHON, "-c", MAP_HOLDER % leave], "l", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(read_line(p.stdout), "made\n")
                self.assertEqual(p.wait(timeout=PATIENCE), 0)
                self.assertEqual(self.home.counts("l"), dict(NOTHING, maps=1, files=1))
                p.stdin.write(b"leave\n")
                if "close" in leave:
                    self.assertEqual(read_line(p.stdout), "left\n")
                    self.assertEqual(self.home.counts("l"), NOTHING)
                    p.stdin.write(b"end\n")
                self.await_nothing()

    def test_two_of_one_session_share_and_others_do_not(self):
        self.need("bpftool")
        loader = Loader(self.home, RING, "l")
        shared = self.home.run(["bpftool", "-j", "prog", "list"], "l").expect(self, 0)
        self.assertIn('"name":"hello"', shared.out)
        self.home.run(["bpftool", "-j", "prog", "list"]).expect(self, 0, "[]\n", "")
        self.assertEqual(loader.stop(), (0, ""))

    def test_a_stopped_target_holds_up_nobody(self):
        """SIGSTOP in the middle of anything: others go on."""
        loader = Loader(self.home, RING, "l")
        script = "while :; do /bin/true; done"
        stopped = [self.home.start(["sh", "-c", "echo up; " + script], "l", stdout=subprocess.PIPE, start_new_session=True)
                   for _ in range(3)]
        try:
            for p in stopped:
                self.assertEqual(read_line(p.stdout), "up\n")
            for _ in range(5):
                for p in stopped:
                    os.killpg(p.pid, signal.SIGSTOP)
                # With all of them asleep somewhere, a new one's events still come through.
                r = self.home.run(["sh", "-c", "/bin/true & echo $!; wait"], "l").expect(self, 0)
                end = time.monotonic() + PATIENCE
                while loader.read_event().pid != int(r.out):
                    self.assertLess(time.monotonic(), end)
                for p in stopped:
                    os.killpg(p.pid, signal.SIGCONT)
        finally:
            for p in stopped:
                os.killpg(p.pid, signal.SIGKILL)
        status, err = loader.stop()
        self.assertEqual(status, 0, err)
        self.await_nothing()


class Sessions(Case):
    def test_nothing_is_left(self):
        self.home.run(["true"]).expect(self, 0, "", "")
        self.home.await_nothing_left()
        loader = Loader(self.home, PERF, "named")
        self.assertEqual(len(self.home.session_dirs()), 1)
        self.assertEqual(len(self.home.host_pids()), 1)
        self.assertEqual(loader.stop(), (0, ""))
        self.home.await_nothing_left()

    def test_nothing_is_left_of_a_killed_host(self):
        """The host is killed: what ran under it runs on, and the next `skep run` sweeps what it left."""
        keeper = self.home.keep("doomed")
        for pid in self.home.host_pids():
            os.kill(pid, signal.SIGKILL)
        await_state("the host to die", lambda: not self.home.host_pids())
        keeper.stdin.write(b"still here\n")
        self.assertEqual(read_line(keeper.stdout), "still here\n")
        self.home.run(["sh", "-c", "/bin/true; echo new"], "doomed").expect(self, 0, "new\n", "")
        keeper.stdin.close()
        self.assertEqual(keeper.wait(timeout=20), 0)
        self.home.run(["true"]).expect(self, 0, "", "")
        self.home.await_nothing_left()

    def test_targets_of_a_killed_host_start_programs(self):
        shell = self.home.start(["sh"], "doomed", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shell.stdin.write(b"echo up\n")
        self.assertEqual(read_line(shell.stdout), "up\n")
        for pid in self.home.host_pids():
            os.kill(pid, signal.SIGKILL)
        await_state("the host to die", lambda: not self.home.host_pids())
        shell.stdin.write(b"/bin/true && ls -d / && sh -c 'echo $((1+1)) | cat'\nexit 5\n")
        out, err = shell.communicate(timeout=PATIENCE)
        self.assertEqual((shell.returncode, out, err), (5, b"/\n2\n", b""))

    def test_one_after_the_other(self):
        """A session that is about to go is in nobody's way, named or not."""
        for name in (None, "again"):
            for i in range(25):
                self.home.run(["sh", "-c", "/bin/true; echo %d" % i], name).expect(self, 0, "%d\n" % i, "")
        self.home.await_nothing_left()

    def test_many_at_once(self):
        many = [self.home.start(["sh", "-c", "/bin/true; echo fine"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(12)]
        for p in many:
            out, err = p.communicate(timeout=60)
            self.assertEqual((p.returncode, out, err), (0, b"fine\n", b""))
        self.home.await_nothing_left()

    def test_who_starts_a_named_session_at_once_shares_it(self):
        many = [self.home.start(["cat"], "one", stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(6)]
        for p in many:
            p.stdin.write(b"up\n")
        for p in many:
            self.assertEqual(read_line(p.stdout), "up\n")
        self.assertEqual([d.split(".")[0] for d in self.home.session_dirs()], ["one"])
        for p in many:
            p.stdin.close()
        for p in many:
            self.assertEqual(p.wait(timeout=20), 0)
        self.home.await_nothing_left()

    def test_a_daemon_keeps_the_session(self):
        """Its own session, no stdio, all descriptors closed, no parent: `skep run` has returned, the daemon is still served."""
        fifo = os.path.join(self.home.top, "end")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        script = """setsid sh -c 'for f in 0 1 2 3 4 5 6 7 8 9; do eval "exec $f>&-"; done; read end <"$0"' "$0" & echo started"""
        self.home.run(["sh", "-c", script, fifo], "d").expect(self, 0, "started\n", "")
        loader = Loader(self.home, PERF, "d")
        self.assertEqual(loader.stop(), (0, ""))
        self.assertEqual(len(self.home.session_dirs()), 1)
        self.assertEqual(len(self.home.host_pids()), 1)
        self.assertEqual(self.home.counts("d"), NOTHING)
        with open(fifo, "w") as f:
            f.write("end\n")
        self.home.await_nothing_left()

    def test_a_daemon_without_environment_keeps_the_session(self):
        fifo = os.path.join(self.home.top, "end")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        script = """env -i setsid sh -c 'read end <"$0"' "$0" >/dev/null 2>&1 </dev/null & echo started"""
        self.home.run(["sh", "-c", script, fifo], "d").expect(self, 0, "started\n", "")
        self.assertEqual(self.home.counts("d"), NOTHING)
        with open(fifo, "w") as f:
            f.write("end\n")
        self.home.await_nothing_left()

    def test_the_host_holds_no_stdio(self):
        """The reader of a pipe sees its end as soon as the command's own writers are gone."""
        r, w = os.pipe()
        fifo = os.path.join(self.home.top, "end")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        background = 'sh -c \'read end <"$0"\' "$0" >/dev/null 2>&1 </dev/null & echo out; echo err >&2'
        process = self.home.start(["sh", "-c", background, fifo], "h", stdin=subprocess.PIPE, stdout=w, stderr=w)
        os.close(w)
        self.assertEqual(process.wait(timeout=PATIENCE), 0)
        text = b""
        while True:
            ready, _, _ = select.select([r], [], [], PATIENCE)
            self.assertTrue(ready, "somebody holds the output open: %r" % text)
            piece = os.read(r, 100)
            if not piece:
                break
            text += piece
        os.close(r)
        self.assertEqual(text, b"out\nerr\n")
        for pid in self.home.host_pids():
            links = {fd: os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)}
            for fd in ("0", "1", "2"):
                self.assertEqual(links.get(fd, "/dev/null"), "/dev/null")
            self.assertNotEqual(os.getsid(pid), os.getsid(0), "the host shares its starter's terminal session")
        with open(fifo, "w") as f:
            f.write("end\n")
        self.home.await_nothing_left()

    def test_the_host_holds_no_directory(self):
        place = os.path.join(self.home.top, "place")
        os.mkdir(place)
        os.chmod(place, 0o777)
        self.home.start(["cat"], "w", stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=place)
        hosts = await_state("the host", self.home.host_pids)
        try:
            cwd = await_state("the host's directory", lambda: os.readlink("/proc/%d/cwd" % hosts[0]))
        except PermissionError:
            self.skipTest("another user's process")
        self.assertNotEqual(cwd, place)


if __name__ == "__main__":
    main()
