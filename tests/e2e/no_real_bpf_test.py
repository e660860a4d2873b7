"""The launcher itself: what runs under it dies of a real bpf(2) or perf_event_open(2), and of nothing else."""
import os
import signal

from skep_e2e import IS_ROOT, LOADERS, NOBODY, Case, loader_path, main, tool


class Launcher(Case):
    def test_ordinary_programs_live(self):
        self.home.run_plain([tool("no_real_bpf"), tool("foreign"), "hello"]).expect(
            self, 42, "hello %d %d\n" % ((NOBODY, NOBODY) if IS_ROOT else (os.getuid(), os.geteuid())), "")

    def test_the_real_calls_kill(self):
        self.assertIsNotNone(tool("foreign"))
        for program in filter(tool, ("foreign", "foreign_static", "foreign_i386")):
            for what in ("bpf", "perf"):
                with self.subTest(program=program, what=what):
                    self.home.run_plain([tool("no_real_bpf"), tool(program), what]).expect(self, 128 + signal.SIGSYS, "")

    def test_no_capability_is_left_or_gained(self):
        for user in (["--user", "0"], []):
            r = self.home.run_plain([tool("no_real_bpf"), *user, "sh", "-c", "cat /proc/self/status"]).expect(self, 0)
            fields = dict(l.split(":\t", 1) for l in r.out.splitlines() if ":\t" in l)
            for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(fields[caps], 16), 0, caps)
            self.assertEqual((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"))
            if IS_ROOT:
                self.assertEqual(int(fields["CapBnd"], 16), 0)
                self.assertEqual(fields["Uid"].split(), [user[1] if user else str(NOBODY)] * 4)

    def test_the_suite_is_not_asleep(self):
        """Without skep the examples die here: so what passes under skep passes by skep alone."""
        for name in LOADERS:
            r = self.home.run_plain([tool("no_real_bpf"), loader_path(name)])
            self.assertEqual(r.status, 128 + signal.SIGSYS, r)


if __name__ == "__main__":
    main()
