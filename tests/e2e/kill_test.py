"""kill_test.py [SECONDS]: kills loaders, bpftool and targets at random moments, and asks afterwards what is left of them.

All of it in one session. In the end it has no object, the host has as many descriptors as at the start, and loaders work in it
and in a new one. SKEP_E2E_SEED repeats the choice of victims (not the moments).
"""
import os
import random
import signal
import subprocess
import sys
import threading
import time

from skep_e2e import LOADERS, PATIENCE, XDP_OBJECT, Case, Loader, await_state, find_program, loader_path, main, tool

SECONDS = 60.0
NOTHING = {"maps": 0, "progs": 0, "btfs": 0, "links": 0, "files": 0, "pins": 0, "attachments": 0}
SESSION = "kill"

TARGETS = (
    ["sh", "-c", "while :; do /bin/true; done"],
    ["sh", "-c", "while :; do sh -c '/bin/true; /bin/true' | cat; done"],
    ["sh", "-c", 'while :; do "$0" spawn-in-threads; done', "@citizen"],
    ["sh", "-c", 'while :; do "$0" interrupted; done', "@citizen"],
    ["sh", "-c", 'while :; do "$0" fork-in-threads; done', "@citizen"],
)
BPFTOOL = (
    ["sh", "-c", "while :; do bpftool prog list; bpftool map list; bpftool map dump name config; bpftool perf list; done"],
    ["sh", "-c", "i=0; while :; do bpftool prog load $0 /sys/fs/bpf/$$.$i; rm /sys/fs/bpf/$$.$i; i=$((i+1)); done", XDP_OBJECT],
    ["sh", "-c", "while :; do bpftool map update name config key 1 2 3 4 value 1 2 3 4 5 6 7 8 9 10 11 12 13;"
                 " bpftool map delete name config key 1 2 3 4; done"],
)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Kill(Case):
    def victims(self):
        loaders = [[loader_path(n)] for n in LOADERS]
        targets = [[tool(w[1:]) if w.startswith("@") else w for w in t] for t in TARGETS]
        return loaders * 3 + targets + (list(map(list, BPFTOOL)) if find_program("bpftool") else [])

    def start_victim(self, rng):
        return self.home.start(rng.choice(self.victims()), SESSION, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)

    def family(self, process):
        """All processes of a victim's session: pids that are still its own."""
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(pid)) == process.pid:
                    pids.append(int(pid))
            except OSError:
                pass
        return pids

    def kill_some(self, rng, process):
        """One process of the victim's, or all at once."""
        if rng.random() < 0.5:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                pass
            return
        pids = self.family(process)
        for pid in [rng.choice(pids)] if pids else []:
            kill(pid)

    def lives(self, pid):
        try:
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def fds_of_host(self, host):
        return len(os.listdir("/proc/%d/fd" % host))

    def test_kill(self):
        seed = int(os.environ.get("SKEP_E2E_SEED", str(random.randrange(1 << 30))))
        rng = random.Random(seed)
        print("seed %d, %g seconds" % (seed, SECONDS), flush=True)
        self.home.keep(SESSION)
        (host,) = self.home.host_pids()
        # What the first loader and bpftool make the host open for good is there before it is counted.
        for name in LOADERS:
            self.assertEqual(Loader(self.home, name, SESSION).stop(), (0, ""))
        await_state("objects to go", lambda: self.home.counts(SESSION) == NOTHING)
        # The connection of a client that has just ended may still be open: the fewest that are seen are those that are its own.
        initial = min(self.fds_of_host(host) for _ in range(200))

        # Whoever is not read blocks on its pipe; the output goes nowhere, and what counts is the end.
        alive, killed, end = [], 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            while len(alive) < 6:
                alive.append(self.start_victim(rng))
            threading.Event().wait(rng.random() * 0.1)  # the random moment
            for victim in rng.sample(alive, rng.randrange(1, 4)):
                self.kill_some(rng, victim)
                killed += 1
            self.assertTrue(self.lives(host), "the host is gone")
            gone = [p for p in alive if p.poll() is not None]
            for p in gone:
                # `skep run` itself was hit: what it started lives on, until now.
                for pid in self.family(p):
                    kill(pid)
                alive.remove(p)
                self.home.started.remove(p)
        for p in alive:
            for _ in range(200):
                pids = self.family(p)
                for pid in pids:
                    kill(pid)
                if not set(pids) - {p.pid}:
                    break
            p.wait(timeout=PATIENCE)
        print("%d kills" % killed, flush=True)
        self.assertGreater(killed, SECONDS)

        # Pins of killed bpftool loops are files, and files stay.
        self.home.run(["sh", "-c", "rm -f /sys/fs/bpf/*; ls -A /sys/fs/bpf"], SESSION).expect(self, 0, "", "")
        self.last = None

        def nothing():
            self.last = self.home.counts(SESSION)
            return self.last == NOTHING
        try:
            await_state("all objects to go", nothing)
        except AssertionError:
            self.fail("left behind: %r" % self.last)
        try:
            await_state("the host's descriptors to go", lambda: self.fds_of_host(host) <= initial)
        except AssertionError:
            self.fail("the host had %d descriptors and has %d: %r" % (initial, self.fds_of_host(host), self.describe(host)))
        self.check_loaders(SESSION)
        self.check_loaders("fresh")

    def describe(self, host):
        links = []
        for fd in os.listdir("/proc/%d/fd" % host):
            try:
                links.append(os.readlink("/proc/%d/fd/%s" % (host, fd)).split("[")[0])
            except OSError:
                pass
        return {kind: links.count(kind) for kind in set(links)}

    def check_loaders(self, session):
        for name in LOADERS:
            loader = Loader(self.home, name, session)
            r = self.home.run(["sh", "-c", "/bin/true & echo $!; wait"], session).expect(self, 0)
            self.assertEqual([e.pid for e in loader.fence()], [int(r.out)], session)
            self.assertEqual(loader.stop(), (0, ""))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].replace(".", "").isdigit():
        SECONDS = float(sys.argv.pop(1))
    main()
