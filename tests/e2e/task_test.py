"""The task_struct that programs see: every fact against /proc, see task_client.c."""
from skep_e2e import SKEP, Case, main, tool


class Task(Case):
    def look(self, *options):
        r = self.home.run_plain(self.home.prefix() + [SKEP, "run", *options, "--", tool("task_client"), tool("task.bpf.o")])
        r.expect(self, 0, "0 differences\n")

    def test_compiled(self):
        self.look()

    def test_interpreted(self):
        self.look("--no-jit")


if __name__ == "__main__":
    main()
