"""gdb on processes that run programs: with --gdb-jit it names compiled code and walks through it, from any instruction."""
import os
import re
import subprocess

from skep_e2e import PERF, SKEP, Case, Loader, main, read_line, tool

SESSION = "g"
HELPER = "skep::bpf_get_current_comm"  # which the program calls
PROGRAM = re.compile(r"bpf_prog_[0-9a-f]{16}_hello")

# Runs in gdb. Prints what the tests look at as lines that begin with "@".
COMMON = """
import gdb

def say(*words):
    print("@", *words, flush=True)

def names():
    frame, found = gdb.newest_frame(), []
    while frame is not None:
        found.append((frame.name() or "??").split("(")[0].replace(" ", ""))
        frame = frame.older()
    return found

def programs():
    text = gdb.execute("info functions ^bpf_prog_", to_string=True)
    return [line.split()[-1] for line in text.splitlines() if "bpf_prog_" in line and line.startswith("0x")]

for setting in ("pagination off", "confirm off", "breakpoint pending on", "debuginfod enabled off", "startup-with-shell off"):
    try:
        gdb.execute("set " + setting)
    except gdb.error:
        pass
"""

BACKTRACE = """
gdb.execute("break %s" % HELPER, to_string=True)
gdb.execute("run", to_string=True)
say("helper", *names())
"""

# The second event: from the program's first instruction to its return, one instruction after the other. CODE takes no breakpoints but those
# of the processor.
STEPS = """
gdb.execute("break %s" % HELPER, to_string=True)
gdb.execute("run", to_string=True)
program = programs()[0]
start = int(gdb.parse_and_eval("(long)&" + program))
gdb.execute("delete")

def go_to(address):
    gdb.execute("thbreak *%d" % address, to_string=True)
    gdb.execute("continue", to_string=True)

go_to(start)
want = names()[1:]
steps = calls = 0
while names() != want:
    now = names()
    if now[0] == program and now[1:] == want:
        steps += 1
        gdb.execute("stepi", to_string=True)
    elif now[1] == program and now[2:] == want:
        calls += 1
        go_to(gdb.newest_frame().older().pc())
    else:
        say("lost", hex(gdb.newest_frame().pc()), *now)
        break
else:
    say("returned", steps, calls)
"""

# Stops after each event, and says which programs there are.
WATCH = """
gdb.execute("break asked", to_string=True)
gdb.execute("run", to_string=True)
while gdb.selected_inferior().pid != 0:
    say("programs", *programs())
    gdb.execute("continue", to_string=True)
"""


class GdbCase(Case):
    def setUp(self):
        super().setUp()
        gdb = self.need("gdb")
        probe = subprocess.run([gdb, "--batch", "-nx", "-ex", "python print(6 * 7)"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if probe.stdout.strip() != b"42":
            self.skipTest("this gdb has no python")
        trial = subprocess.run([gdb, "--batch", "-nx", "-ex", "set startup-with-shell off", "-ex", "starti", "/bin/true"],
                               stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        if b"Program stopped" not in trial.stdout:
            self.skipTest("processes cannot be traced here")
        self.gdb = gdb

    def keep(self, *options):
        keeper = self.home.popen(self.home.prefix() + [SKEP, "run", "--session", SESSION, *options, "--", "cat"], stdin=-1, stdout=-1)
        keeper.stdin.write(b"up\n")
        self.assertEqual(read_line(keeper.stdout), "up\n")

    def script(self, text):
        path = os.path.join(self.home.top, "script.py")
        with open(path, "w") as f:
            f.write(COMMON + "HELPER = %r\n" % HELPER + text)
        return path

    def start_gdb(self, text):
        argv = [self.gdb, "--batch", "-nx", "-x", self.script(text), tool("gdb_target")]
        return self.home.start(argv, SESSION, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run_gdb(self, text, lines):
        """The words of each line that the script says."""
        process = self.start_gdb(text)
        out = process.communicate(lines.encode(), timeout=120)[0].decode(errors="replace")
        said = [line.split()[1:] for line in out.splitlines() if line.startswith("@ ")]
        self.assertTrue(said, out)
        return said

    def next_said(self, process):
        while True:
            line = read_line(process.stdout)
            self.assertTrue(line, "gdb ended")
            if line.startswith("@ "):
                return line.split()[1:]


class Shown(GdbCase):
    def setUp(self):
        super().setUp()
        self.keep("--gdb-jit")

    def in_order(self, names, *wanted):
        rest = iter(names)
        for pattern in wanted:
            self.assertTrue(any(re.match(pattern, n) for n in rest), "%s is not in its place: %s" % (pattern, names))

    def backtrace_from(self, line, outermost):
        loader = Loader(self.home, PERF, SESSION)
        said = self.run_gdb(BACKTRACE, line)[0]
        names = said[1:]
        self.in_order(names, HELPER, PROGRAM.pattern + "$", "skep_jit_enter$", "skep_trap_", "(__GI_)?execve$", "ask_kernel", outermost + "$")
        self.assertNotIn("??", names)
        loader.stop()

    def test_backtrace_to_main(self):
        self.backtrace_from("main\n", "main")

    def test_backtrace_in_a_thread(self):
        self.backtrace_from("thread\n", "thread_main")

    def test_each_instruction(self):
        loader = Loader(self.home, PERF, SESSION)
        said = self.run_gdb(STEPS, "main\nmain\n")[-1]
        self.assertEqual(said[0], "returned", said)
        self.assertGreater(int(said[1]), 30)
        self.assertGreaterEqual(int(said[2]), 3)  # helpers
        loader.stop()

    def test_a_debugger_learns_what_comes_and_goes(self):
        process = self.start_gdb(WATCH)

        def programs():
            process.stdin.write(b"main\n")
            said = self.next_said(process)
            self.assertEqual(said[0], "programs")
            return [name for name in said[1:] if PROGRAM.fullmatch(name)]  # not what libbpf tries

        self.assertEqual(programs(), [])
        for _ in range(3):  # the code of each stands where the last one's was
            loader = Loader(self.home, PERF, SESSION)
            names = programs()
            self.assertEqual(len(names), 1, names)
            loader.stop()
        out = process.communicate(timeout=60)[0].decode(errors="replace")
        self.assertNotIn("JIT", out)  # what gdb complains of


class NotAsked(GdbCase):
    def test_nothing_is_told(self):
        self.keep()
        loader = Loader(self.home, PERF, SESSION)
        said = self.run_gdb(BACKTRACE + "\nsay('programs', *programs())\n", "main\n")
        self.assertEqual(said[-1], ["programs"])
        self.assertTrue(said[0][1].startswith(HELPER), said)
        loader.stop()


if __name__ == "__main__":
    main()
