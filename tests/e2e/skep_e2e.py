"""What the end-to-end tests share: a runtime directory of their own, starting `skep`, its loaders, awaiting states.

SKEP_BUILD names the build directory. As root, what a test starts `confined` runs as nobody without capabilities; for everybody it
runs where a real bpf(2) or perf_event_open(2) is death (no_real_bpf).
"""
import collections
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(os.environ.get("SKEP_BUILD", "build"))
SKEP = os.path.join(BUILD, "bin", "skep")
TOOLS = os.environ.get("SKEP_E2E_TOOLS", os.path.join(BUILD, "tests", "e2e", "tools"))
PERF, RING = "hello-buffer-config", "hello-ring-buffer-config"
LOADERS = (PERF, RING)
XDP_OBJECT = os.path.join(BUILD, "examples", "hello-xdp", "hello.bpf.o")
PYTHON = "/usr/bin/python3"
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
PATIENCE = 20.0  # seconds after which a state that has not come is a failure

Event = collections.namedtuple("Event", "pid uid comm message")


def loader_path(name):
    return os.path.join(BUILD, "examples", name, name)


def tool(name):
    path = os.path.join(TOOLS, name)
    return path if os.path.exists(path) else None


def find_program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")


def await_state(what, state, patience=PATIENCE):
    """Polls `state` until it is true and returns its value; fails after `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        value = state()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %g s in vain: %s" % (patience, what))
        time.sleep(0.01)


def read_line(stream, patience=PATIENCE):
    """One line of an unbuffered stream, "" at its end."""
    line = b""
    end = time.monotonic() + patience
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise AssertionError("no line within %g s; so far: %r" % (patience, line))
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()


def exit_status(returncode):
    """As a shell shows it."""
    return returncode if returncode >= 0 else 128 - returncode


class Result(collections.namedtuple("Result", "status out err")):
    def expect(self, test, status=0, out=None, err=None):
        test.assertEqual(self.status, status, self)
        if out is not None:
            test.assertEqual(self.out, out, self)
        if err is not None:
            test.assertEqual(self.err, err, self)
        return self


class Home:
    """A runtime directory, and who uses it."""

    def __init__(self, confined=True, user=None):
        self.user = user if user is not None else NOBODY if IS_ROOT and confined else os.geteuid()
        self.confined = confined
        self.top = tempfile.mkdtemp(prefix="skep-e2e-", dir="/tmp")  # short: sockets are made below it
        if IS_ROOT:
            os.chown(self.top, self.user, -1)
        os.chmod(self.top, 0o755)
        self.dir = os.path.join(self.top, "run")
        self.env = dict(os.environ, SKEP_RUNTIME_DIR=self.dir, LC_ALL="C")
        self.env["PATH"] = self.env.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        self.env.pop("LD_PRELOAD", None)
        self.started = []

    def prefix(self):
        return [tool("no_real_bpf"), "--user", str(self.user)] if self.confined else []

    def popen(self, argv, **kw):
        kw.setdefault("env", self.env)
        kw.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(argv, bufsize=0, **kw)
        self.started.append(process)
        return process

    def run_plain(self, argv, timeout=60, **kw):
        """Runs to its end; output as text."""
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        stdin = kw.pop("input", None)
        if stdin is not None:
            kw["stdin"] = subprocess.PIPE
        process = self.popen(argv, **kw)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("%r did not end within %g s; out %r err %r" % (argv, timeout, out, err)) from None
        return Result(exit_status(process.returncode), (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"))

    def skep_argv(self, command, session=None):
        return self.prefix() + [SKEP, "run"] + (["--session", session] if session else []) + ["--"] + list(command)

    def run(self, command, session=None, **kw):
        return self.run_plain(self.skep_argv(command, session), **kw)

    def start(self, command, session=None, **kw):
        return self.popen(self.skep_argv(command, session), **kw)

    def keep(self, session):
        """Starts a session and keeps it until the process that is returned ends (close its stdin)."""
        keeper = self.start(["cat"], session, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        keeper.stdin.write(b"up\n")
        if read_line(keeper.stdout) != "up\n":
            raise AssertionError("the session does not start")
        return keeper

    def counts(self, session):
        """Object counts of a session, None when there is no such session."""
        r = self.run_plain([SKEP, "counts", "--session", session])
        if r.status != 0:
            return None
        words = r.out.split()
        return dict(zip(words[0::2], map(int, words[1::2])))

    def doctor(self, session):
        """What a session's host has to tell."""
        r = self.run_plain([SKEP, "doctor", "--session", session])
        lines = r.out.split("\nsession %s\n" % session)
        return [] if len(lines) < 2 else [l.strip() for l in lines[1].splitlines() if l.strip() and "nothing was refused" not in l]

    def session_dirs(self):
        try:
            return os.listdir(self.dir)
        except FileNotFoundError:
            return []

    def host_pids(self, session=""):
        """Processes of skep's that have the control socket of a session (here) open for listening."""
        wanted = set()
        with open("/proc/net/unix") as table:
            for line in table:
                words = line.split()
                if len(words) == 8 and words[7].startswith(os.path.join(self.dir, session)) and words[3] == "00010000":
                    wanted.add("socket:[%s]" % words[6])
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                fds = os.listdir("/proc/%s/fd" % pid)
            except OSError:
                continue
            for fd in fds:
                try:
                    if os.readlink("/proc/%s/fd/%s" % (pid, fd)) in wanted:
                        pids.append(int(pid))
                        break
                except OSError:
                    pass
        return pids

    def await_nothing_left(self, patience=10.0):
        await_state("session directories to go", lambda: not self.session_dirs(), patience)
        await_state("hosts to end", lambda: not self.host_pids(), patience)

    def left_running(self):
        """Processes that a failed test has left: their environment names this directory."""
        mark = os.fsencode(self.dir)
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if mark in f.read():
                        pids.append(int(pid))
            except OSError:
                pass
        return pids

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for pid in set(self.host_pids()) | set(self.left_running()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.top, ignore_errors=True)


class Loader:
    """One of the examples, attached. Its lines are read as they are needed."""

    def __init__(self, home, name, session, *options):
        self.home, self.name, self.session = home, name, session
        ready, tell = os.pipe()
        try:
            self.process = home.start([loader_path(name), "--ready-fd", str(tell), *options], session, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, pass_fds=[tell])
        finally:
            os.close(tell)
        with os.fdopen(ready, "rb", buffering=0) as r:
            got = read_ready(r)
        if got != b"R":
            self.process.kill()
            _, err = self.process.communicate()
            raise AssertionError("%s did not get ready: %s" % (name, err.decode()))
        self.events = []

    def message(self, uid):
        if uid == 0:
            return "Hey root!"
        if uid == 501:
            return "Hi user 501!"
        return "Hello World"

    def read_event(self):
        line = read_line(self.process.stdout)
        if not line:
            raise AssertionError("the loader ended: %s" % self.process.stderr.read().decode())
        head, uid, rest = line.rstrip("\n").split(" ", 2)
        for message in ("Hey root!", "Hi user 501!", "Hello World"):
            if rest.endswith(" " + message):
                return Event(int(head), int(uid), rest[: -len(message) - 1], message)
        raise AssertionError("not an event: %r" % line)

    def fence(self):
        """Reads all events from before this call: one more execve on each processor, and every line up to the last of them."""
        cpus = sorted(os.sched_getaffinity(0))
        taskset = find_program("taskset")
        script = "for c in %s; do %s -c $c /bin/true & echo $!; wait; done" % (" ".join(map(str, cpus)), taskset)
        r = self.home.run(["sh", "-c", script], self.session)
        if r.status != 0:
            raise AssertionError("fence: %r" % (r,))
        marks = {int(w) for w in r.out.split()}
        seen = {}
        while sum(1 for pid in marks if seen.get(pid) == ["sh", "taskset"]) < len(marks):
            e = self.read_event()
            if e.pid in marks and e.comm in ("sh", "taskset"):
                seen.setdefault(e.pid, []).append(e.comm)
                seen[e.pid].sort()
            else:
                self.events.append(e)
        return self.events

    def stop(self):
        """Ends by SIGTERM; (exit status, stderr)."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=PATIENCE)
        return exit_status(self.process.returncode), err.decode()


def read_ready(stream):
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    return stream.read(1) if ready else b""


class Case(unittest.TestCase):
    maxDiff = None
    confined = True
    user = None

    def setUp(self):
        self.home = Home(confined=self.confined, user=self.user)
        self.addCleanup(self.home.close)

    def need(self, program):
        path = find_program(program)
        if path is None:
            self.skipTest("%s is not installed" % program)
        return path

    def need_tool(self, name, reason):
        path = tool(name)
        if path is None:
            self.skipTest(reason)
        return path

    def need_root(self, what):
        if not IS_ROOT:
            self.skipTest("only root can %s" % what)


def main():
    if not os.access(SKEP, os.X_OK):
        sys.exit("SKEP_BUILD=%s has no bin/skep" % BUILD)
    if tool("no_real_bpf") is None:
        sys.exit("SKEP_E2E_TOOLS=%s has no no_real_bpf: is the build complete?" % TOOLS)
    unittest.main(verbosity=2)
