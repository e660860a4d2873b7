"""What the tests of real clients share: a client on a terminal of its own, and calls made for it to see (clients_load)."""
import collections
import os
import re
import select
import signal
import subprocess
import time
import tty

from skep_e2e import PATIENCE, PYTHON, SKEP, Case, await_state, exit_status, tool

SESSION = "clients"
CPUS = sorted(os.sched_getaffinity(0))
LOST = re.compile(r"\b[Ll]ost\b")
ROUND = 1.0  # seconds after which marks that a client has not shown are made anew: it was not ready yet


class Client:
    """A program in the session. All it writes is read line by line, as it comes."""

    def __init__(self, case, argv, fake_root=False, env=None, session=SESSION, options=()):
        self.case, self.argv, self.session = case, argv, session
        self.before = (case.home.counts(session) or {}).get("attachments", 0)
        self.master, slave = os.openpty()
        case.addCleanup(os.close, self.master)
        tty.setraw(slave)
        options = list(options) + (["--fake-root"] if fake_root else [])
        command = case.home.prefix() + [SKEP, "run", "--session", session, *options, "--", *argv]
        try:
            environment = dict(case.home.env, PYTHONUNBUFFERED="1", **(env or {}))
            self.process = case.home.popen(command, stdout=slave, stderr=slave, env=environment)
        finally:
            os.close(slave)
        self.lines, self.rest, self.ended = [], b"", False

    def name(self):
        return " ".join(self.argv)[:200]

    def pid(self):
        """Of the client itself, the child of `skep run`."""
        run = self.process.pid
        def child():
            with open("/proc/%d/task/%d/children" % (run, run)) as f:
                return f.read().split()
        return int(await_state("a child of skep run", child)[0])

    def read_some(self, seconds):
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if not ready or self.ended:
            return
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self.ended = True
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.lines += [l.decode(errors="replace").rstrip("\r") for l in lines]

    def await_lines(self, what, state, patience=PATIENCE, must=True):
        """Reads until `state` of the lines is true, and returns its value."""
        end = time.monotonic() + patience
        while True:
            value = state(self.lines)
            if value:
                return value
            if self.ended or time.monotonic() > end:
                if not must:
                    return None
                raise AssertionError("%s: waited %g s in vain for %s%s; doctor: %s; output:\n%s" % (
                    self.name(), patience, what, " and it has ended" if self.ended else "",
                    self.case.home.doctor(self.session), "\n".join(self.lines[-60:])))
            self.read_some(min(0.5, end - time.monotonic()))

    def await_line(self, pattern, patience=PATIENCE):
        def first_match(lines):
            return next(filter(None, (re.search(pattern, l) for l in lines)), None)
        return self.await_lines("a line like %r" % pattern, first_match, patience)

    def attached(self, n=1):
        """Until the session has `n` attachments more than before this client."""
        def state():
            self.read_some(0)
            if self.process.poll() is not None:
                self.drain()
                raise AssertionError("%s has ended: %s" % (self.name(), "\n".join(self.lines)))
            return (self.case.home.counts(self.session) or {}).get("attachments", 0) >= self.before + n
        await_state("%d attachments of %s" % (n, self.argv[0]), state)
        return self

    def mark(self, must=True, patience=PATIENCE):
        """One of each call on each processor, and every line up to the last of them: what was before has been written then."""
        marks = self.case.load("mark", self.case.file)
        self.case.marks.update(row[0] for row in marks)
        def all_shown(lines):
            words = {w for l in lines for w in l.split()}
            return all(row[0] in words for row in marks)
        return self.await_lines("marks %s" % marks, all_shown, patience, must)

    def settled(self):
        """Until it shows what happens on each processor."""
        end = time.monotonic() + PATIENCE
        while not self.mark(must=False, patience=ROUND):
            if self.ended or time.monotonic() > end:
                self.mark()
        return self

    def rows(self, keep, width=None):
        """The words of those lines that are to be kept. The last column may have blanks when `width` says how many there are."""
        rows = [tuple(l.split(None, width - 1) if width else l.split()) for l in self.lines]
        return [r for r in rows if r and keep(r)]

    def drain(self):
        end = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < end:
            self.read_some(0.5)

    def wait(self, status=None):
        """Until its end; all lines."""
        self.drain()
        if not self.ended:
            raise AssertionError("%s does not end; output:\n%s" % (self.name(), "\n".join(self.lines[-60:])))
        got = exit_status(self.process.wait(timeout=PATIENCE))
        if status is not None:
            self.case.assertEqual(got, status, self.lines)
        if self.rest:
            self.lines.append(self.rest.decode(errors="replace"))
        return self.lines

    def stop(self, sig=signal.SIGINT, status=None):
        """By a signal. bpftrace 0.17 heeds one only while it waits, so it is sent again until it works."""
        end = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < end:
            self.process.send_signal(sig)
            again = time.monotonic() + 2 * ROUND
            while not self.ended and time.monotonic() < again:
                self.read_some(again - time.monotonic())
        return self.wait(status)

    def nothing_lost(self):
        self.case.assertEqual([l for l in self.lines if LOST.search(l)], [])


class ClientCase(Case):
    """A session that is kept up, and a file whose name nobody else uses."""

    def setUp(self):
        super().setUp()
        self.loader = self.need_tool("clients_load", "clients_load is not built")
        self.home.keep(SESSION)
        self.dir = os.path.join(self.home.top, "d")
        os.mkdir(self.dir)
        os.chown(self.dir, self.home.user, -1)
        self.file = os.path.join(self.dir, "f")
        with open(self.file, "w"):
            pass
        os.chmod(self.file, 0o644)
        self.marks = set()

    def client(self, *argv, **kw):
        self.need(argv[0])
        return Client(self, list(argv), **kw)

    def load(self, *argv, session=SESSION, cpu=None):
        """Runs clients_load, on one processor if told so; its lines' words."""
        pinned = [] if cpu is None else [self.need("taskset"), "-c", str(cpu)]
        r = self.home.run([*pinned, self.loader, *map(str, argv)], session)
        self.assertEqual((r.status, r.err), (0, ""))
        return [tuple(l.split()) for l in r.out.splitlines()]

    def sh(self, script, *args, session=SESSION, status=0):
        r = self.home.run(["sh", "-c", script, *args], session)
        self.assertEqual(r.status, status, r)
        return r.out

    def check_rows(self, client, expected, keep, width=None):
        """When the client has shown `expected`, and what it shows until a later mark, each row is there exactly once."""
        def enough(_):
            got = client.rows(keep, width)
            return len(got) >= len(expected) and not (collections.Counter(expected) - collections.Counter(got))
        client.await_lines("%d rows" % len(expected), enough, must=False)
        client.mark()
        got = [r for r in client.rows(keep, width) if not self.marks & set(r)]
        self.assert_same(expected, got)
        client.nothing_lost()

    def assert_same(self, expected, got):
        e, g = collections.Counter(expected), collections.Counter(got)
        self.assertTrue(expected, "nothing was to be seen")
        missing, extra = list((e - g).elements()), list((g - e).elements())
        if missing or extra:
            self.fail("of %d: %d missing, as %s; %d too much, as %s" %
                      (len(expected), len(missing), missing[:4], len(extra), extra[:4]))

    def assert_no_doctor(self):
        self.assertEqual(self.home.doctor(SESSION), [])


def have_bcc():
    r = subprocess.run([PYTHON, "-c", "import bcc"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return r.returncode == 0


__all__ = ["CPUS", "PYTHON", "SESSION", "Client", "ClientCase", "have_bcc", "tool"]
