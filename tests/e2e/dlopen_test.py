"""System calls that ld.so makes in a process that runs: dlopen, dlclose. And the processes in which they are not seen."""
import os
import subprocess

from skep_e2e import TOOLS, Case, find_program, main, tool

OBJECT, LIBRARY = os.path.join(TOOLS, "dlopen.bpf.o"), os.path.join(TOOLS, "libdlopen_lib.so")
LOADER = "/lib64/ld-linux-x86-64.so.2"
UNSEEN = "dlopen's system calls are not seen in a process "


class Dlopen(Case):
    def setUp(self):
        super().setUp()
        self.keeper = self.home.keep("d")

    def run_client(self, *before, **kw):
        return self.home.run([*before, tool("dlopen_client"), OBJECT, LIBRARY], "d", timeout=120, **kw)

    def expect_unseen(self, why, result):
        """The process runs as it would alone, and its programs count nothing of ld.so's."""
        self.assertEqual((result.status, result.err), (1, ""), result)
        self.assertIn("opens is 0, not 1", result.out)
        self.assertEqual([l for l in self.home.doctor("d") if UNSEEN in l and why in l], self.home.doctor("d"))

    def test_each_call_is_seen_once(self):
        self.run_client().expect(self, 0, "", "")
        self.assertEqual(self.home.doctor("d"), [])

    def test_an_unlimited_stack_turns_the_address_space_over(self):
        """Libraries are then mapped above ld.so. Wherever there is room for stubs, calls are seen; doctor says where there is none."""
        done = self.home.run(["sh", "-c", "ulimit -s unlimited && exec %s %s %s" % (tool("dlopen_client"), OBJECT, LIBRARY)], "d", timeout=120)
        if self.home.doctor("d"):
            self.expect_unseen("no room for stubs", done)
        else:
            done.expect(self, 0, "", "")

    def test_started_through_the_loader(self):
        if not os.path.exists(LOADER):
            self.skipTest("%s is not there" % LOADER)
        self.expect_unseen("started through ld.so", self.run_client(LOADER))

    def test_with_an_auditor(self):
        self.expect_unseen("auditors", self.run_client("env", "LD_AUDIT=" + os.path.join(TOOLS, "libdlopen_audit.so")))

    def test_a_debugger_keeps_its_breakpoints(self):
        """One that looks for libraries which are loaded later finds them."""
        gdb = find_program("gdb")
        if gdb is None:
            self.skipTest("gdb is not installed")
        commands = ("set pagination off", "set confirm off", "set breakpoint pending on", "set startup-with-shell off",
                    "break dlopen_lib_answer", "run", "backtrace 1", "kill", "quit")
        argv = [gdb, "-q", "-nx", "-batch"] + [word for c in commands for word in ("-ex", c)]
        done = self.home.run(argv + ["--args", tool("dlopen_client"), OBJECT, LIBRARY], "d", timeout=120,
                             stderr=subprocess.STDOUT)
        self.assertRegex(done.out, r"Breakpoint 1, .*dlopen_lib_answer")
        self.assertEqual([l for l in self.home.doctor("d") if UNSEEN + "that a debugger watches" in l], self.home.doctor("d"))


if __name__ == "__main__":
    main()
