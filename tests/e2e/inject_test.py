"""Programs that change what their process does, and programs that load programs."""
import os
import tempfile
import unittest

from skep_e2e import PYTHON, TOOLS, Case, main, tool

OBJECT = os.path.join(TOOLS, "inject.bpf.o")

# A handler, and what the call answers after it.
HANDLED = """
import os, signal
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
parent = os.getppid()
print(len(seen), parent > 0)
"""


class Inject(Case):
    def inject(self, program, *command):
        return self.home.run([tool("inject"), OBJECT, program, *command])

    def test_override_return(self):
        with tempfile.TemporaryDirectory() as where:
            os.chmod(where, 0o777)
            path = os.path.join(where, "new")
            done = self.inject("deny_mkdir", "sh", "-c", "mkdir %s; echo $?" % path)
            self.assertEqual(done.out, "1\n", done)
            self.assertIn("Operation not permitted", done.err)
            self.assertFalse(os.path.exists(path))
            # Others, and those that come when it is gone, are let do.
            self.inject("deny_mkdir", PYTHON, "-c", "import os; os.mkdir('%s.other')" % path).expect(self, 0)
            self.home.run(["mkdir", path]).expect(self, 0)
            self.assertTrue(os.path.exists(path))
            self.assertTrue(os.path.exists(path + ".other"))

    def test_signal_ends_the_process(self):
        done = self.inject("term_at_sync", "sh", "-c", "sync; echo $?")
        self.assertEqual(done.out, "143\n", done)
        self.inject("term_at_sync", "sync").expect(self, 143)

    def test_signal_is_handled(self):
        self.inject("usr1_at_getppid", PYTHON, "-c", HANDLED).expect(self, 0, "1 True\n")


@unittest.skipUnless(tool("light"), "built without bpftool")
class LightSkeleton(Case):
    def test_load_and_run(self):
        self.home.run([tool("light")]).expect(self, 0, "seen 3 counted 3\n", "")


if __name__ == "__main__":
    main()
