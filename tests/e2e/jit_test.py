"""Programs run as machine code; where that may not be, they are interpreted and nothing else is different."""
import ctypes
import errno
import glob
import json
import os
import struct
import sys

from skep_e2e import PERF, Case, Loader, SKEP, await_state, main, read_line

SESSION = "j"
PROT_EXEC, MAP_SHARED = 4, 1


def refuse_shared_code():
    """In this process and its children: no shared file is mapped executable. A filter, as a container's might be."""
    def stmt(code, k):
        return struct.pack("=HBBI", code, 0, 0, k)

    def jump(code, k, yes, no):
        return struct.pack("=HBBI", code, yes, no, k)

    load, equal, has, answer = 0x20, 0x15, 0x45, 0x06
    program = b"".join((
        stmt(load, 0), jump(equal, 9, 0, 5),  # mmap
        stmt(load, 32), jump(has, PROT_EXEC, 0, 3),  # prot
        stmt(load, 40), jump(has, MAP_SHARED, 0, 1),  # flags
        stmt(answer, 0x00050000 | errno.EACCES),
        stmt(answer, 0x7FFF0000)))
    buffer = ctypes.create_string_buffer(program)
    fprog = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, fprog, 0, 0) != 0:
        sys.exit("no filter: " + os.strerror(ctypes.get_errno()))


class JitCase(Case):
    def programs(self):
        r = self.home.run([self.need("bpftool"), "-j", "prog", "list"], SESSION).expect(self)
        return json.loads(r.out)

    def events_come(self, loader, **kw):
        r = self.home.run(["sh", "-c", "/bin/true & echo $!; wait"], SESSION, **kw).expect(self)
        pid = int(r.out)
        found = await_state("events of %d" % pid, lambda: self.more_events(loader, pid))
        self.assertEqual({e.message for e in found}, {loader.message(self.home.user)})

    @staticmethod
    def more_events(loader, pid):
        loader.events.append(loader.read_event())
        return [e for e in loader.events if e.pid == pid]

    def code_mappings(self, **kw):
        r = self.home.run(["grep", "skep-code", "/proc/self/maps"], SESSION, **kw)
        return r.out.splitlines()


class Compiled(JitCase):
    def test_attached_programs_are_compiled(self):
        loader = Loader(self.home, PERF, SESSION)
        p, = self.programs()
        self.assertTrue(p["jited"])
        self.assertGreater(p["bytes_jited"], 50)
        self.events_come(loader)
        code = self.code_mappings()
        self.assertEqual(len(code), 1, code)
        self.assertIn(" r-xs ", code[0])
        self.assertEqual(loader.stop()[0], 0)

    def test_perf_map(self):
        self.addCleanup(lambda before: [os.unlink(f) for f in set(glob.glob("/tmp/perf-*.map")) - before], set(glob.glob("/tmp/perf-*.map")))
        argv = self.home.prefix() + [SKEP, "run", "--session", SESSION, "--perf-map", "--", "cat"]
        keeper = self.home.popen(argv, stdin=-1, stdout=-1)
        keeper.stdin.write(b"up\n")
        self.assertEqual(read_line(keeper.stdout), "up\n")
        loader = Loader(self.home, PERF, SESSION)
        p, = self.programs()
        self.events_come(loader)
        with open("/proc/%d/task/%d/children" % (loader.process.pid, loader.process.pid)) as f:
            path = "/tmp/perf-%d.map" % int(f.read().split()[0])
        with open(path) as f:
            lines = [l for l in f.read().splitlines() if l.endswith(p["name"])]
        self.assertEqual(len(lines), 1)
        address, size, name = lines[0].split()
        self.assertEqual((int(size, 16), name), (p["bytes_jited"], "bpf_prog_%s_%s" % (p["tag"], p["name"])))
        start, end = (int(x, 16) for x in self.code_mappings()[0].split()[0].split("-"))
        self.assertTrue(start <= int(address, 16) < end)
        loader.stop()

    def test_no_jit(self):
        argv = self.home.prefix() + [SKEP, "run", "--session", SESSION, "--no-jit", "--", "cat"]
        self.interpreted(argv, self.home.env)

    def test_no_jit_by_environment(self):
        argv = self.home.prefix() + [SKEP, "run", "--session", SESSION, "--", "cat"]
        self.interpreted(argv, dict(self.home.env, SKEP_NO_JIT="1"))

    def interpreted(self, argv, env):
        keeper = self.home.popen(argv, stdin=-1, stdout=-1, env=env)
        keeper.stdin.write(b"up\n")
        self.assertEqual(read_line(keeper.stdout), "up\n")
        loader = Loader(self.home, PERF, SESSION)
        p, = self.programs()
        self.assertFalse(p["jited"])
        self.events_come(loader)
        self.assertEqual(loader.stop()[0], 0)


class Refused(JitCase):
    """Without the checks that real bpf(2) calls kill: the filter is this test's own."""
    confined = False

    def test_a_process_that_may_not_map_code_interprets(self):
        loader = Loader(self.home, PERF, SESSION)
        self.assertTrue(self.programs()[0]["jited"])
        self.assertEqual(self.code_mappings(preexec_fn=refuse_shared_code), [])
        self.events_come(loader, preexec_fn=refuse_shared_code)
        self.assertTrue([l for l in self.home.doctor(SESSION) if "cannot map their machine code" in l], self.home.doctor(SESSION))
        loader.stop()

    def test_a_host_that_may_not_map_code_interprets(self):
        keeper = self.home.popen(self.home.skep_argv(["cat"], SESSION), stdin=-1, stdout=-1, preexec_fn=refuse_shared_code)
        keeper.stdin.write(b"up\n")
        self.assertEqual(read_line(keeper.stdout), "up\n")
        loader = Loader(self.home, PERF, SESSION)
        self.assertFalse(self.programs()[0]["jited"])
        self.events_come(loader)
        self.assertTrue([l for l in self.home.doctor(SESSION) if "maps no executable memory" in l], self.home.doctor(SESSION))
        loader.stop()


if __name__ == "__main__":
    main()
