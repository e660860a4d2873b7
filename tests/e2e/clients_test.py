"""Clients of several kinds at the same time, in sessions side by side and one inside the other."""
import os
import signal
import subprocess

import clients_bcc_scripts as scripts
from clients import PYTHON, SESSION, ClientCase, have_bcc
from skep_e2e import SKEP, await_state, main


class Together(ClientCase):
    def snoop(self, session=SESSION):
        return self.client("/usr/sbin/execsnoop", session=session)

    def need_snoop(self):
        if not os.access("/usr/sbin/execsnoop", os.X_OK):
            self.skipTest("libbpf-tools is not installed")

    def test_all_see_the_same_calls(self):
        self.need_snoop()
        self.need("bpftrace")
        if not have_bcc():
            self.skipTest("python3-bpfcc is not installed")
        snoop = self.snoop().attached(2)
        probe = 'tracepoint:syscalls:sys_enter_execve { printf("%d %s\\n", pid, str(args->filename)); }'
        trace = self.client("bpftrace", "-e", probe, fake_root=True).attached(1)
        chapter = self.client(PYTHON, "-c", scripts.HELLO_RING, fake_root=True).attached(1)
        chapter.await_line("^ready$")
        snoop.settled()
        told = self.load("exec", self.file, 100)
        pids = sorted(r[0] for r in told)
        good = sorted(r[0] for r in told if r[2] == "0")
        for client, column, want in ((snoop, 1, good), (trace, 0, pids), (chapter, 0, pids)):
            seen = lambda c=client, at=column: sorted(r[at] for r in c.rows(lambda r: len(r) > at and r[at] in set(pids)))
            client.await_lines("%d calls" % len(want), lambda _: len(seen()) >= len(want), must=False)
            client.mark()
            self.assert_same(want, seen())
            client.nothing_lost()

    def test_two_sessions_side_by_side(self):
        self.need_snoop()
        self.home.keep("other")
        here, there = self.snoop().attached(2), self.snoop("other").attached(2)
        here.settled()
        mine, others = self.load("exec", self.file, 5), []
        while not there.await_lines("a call", lambda lines: any(r[0] in l.split() for l in lines for r in others), 1.0, must=False):
            others = self.load("exec", self.file, 5, session="other")
        for told, right, wrong in ((mine, here, there), (others, there, here)):
            for pid in (r[0] for r in told if r[2] == "0"):
                right.await_lines("pid " + pid, lambda lines, pid=pid: any(l.split()[1:2] == [pid] for l in lines))
        here.mark()
        seen = lambda c: {l.split()[1] for l in c.lines[1:] if len(l.split()) > 1}
        self.assertFalse(seen(here) & {r[0] for r in others})
        self.assertFalse(seen(there) & {r[0] for r in mine})

    def test_a_session_inside_a_session(self):
        """The inner one's processes belong to it alone; the outer one goes on."""
        self.need_snoop()
        outer = self.snoop().settled()
        told = self.sh("""$0 run --session inner -- sh -c '/bin/true & echo $!; wait'; /bin/true & echo $!; wait""", SKEP).split()
        outer.mark()
        seen = [l.split()[1] for l in outer.lines]
        self.assertEqual([seen.count(pid) for pid in told], [0, 1], outer.lines)
        await_state("the inner session to end", lambda: not any(d.startswith("inner") for d in self.home.session_dirs()))

    def test_clients_killed_half_way(self):
        """Their objects go, and who was watched goes on."""
        self.need_snoop()
        before = self.home.counts(SESSION)
        for _ in range(3):
            clients = [self.snoop(), self.client("/usr/sbin/opensnoop"), self.client("/usr/sbin/syscount", "-L")]
            for c in clients:
                c.attached(1)
            busy = self.home.start([self.loader, "open", self.file, "2000"], SESSION, stdout=subprocess.DEVNULL)
            for c in clients:
                os.kill(c.pid(), signal.SIGKILL)
            self.assertEqual(busy.wait(timeout=30), 0)
            for c in clients:
                c.wait(128 + signal.SIGKILL)
            await_state("their objects to go: %s" % self.home.counts(SESSION), lambda: self.home.counts(SESSION) == before)


if __name__ == "__main__":
    main()
