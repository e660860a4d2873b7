"""`skep explain`: why programs were refused, with their source lines."""
import json

from skep_e2e import PYTHON, SKEP, Case, main, tool


class Explain(Case):
    def explain(self, command, *options):
        return self.home.run_plain(self.home.prefix() + [SKEP, "explain", *options, "--", *command])

    def load(self, *programs):
        return [tool("load_each"), tool("refused.bpf.o"), *programs]

    def source_line(self, text):
        """Number of the line of refused.bpf.c that holds `text`."""
        with open(tool("refused.bpf.c")) as f:
            numbers = [i for i, line in enumerate(f, 1) if text in line]
        self.assertEqual(len(numbers), 1, text)
        return numbers[0]

    def one(self, program):
        r = self.explain(self.load(program), "--json")
        self.assertEqual(r.status, 0, r)
        objects = [json.loads(line) for line in r.err.splitlines()]
        self.assertEqual(len(objects), 1, r)
        return objects[0]

    def test_command_keeps_its_output_and_status(self):
        r = self.explain(["sh", "-c", "echo out; exit 7"])
        r.expect(self, 7, "out\n", "")

    def test_text_names_line_value_and_advice(self):
        r = self.explain(self.load("indexed"))
        self.assertEqual((r.status, r.out), (0, "indexed 22\n"), r)
        self.assertIn("program indexed of type kprobe was refused: EINVAL\n", r.err)
        self.assertIn("refused.bpf.c:%d" % self.source_line("too far below"), r.err)
        self.assertIn("with unbounded min value is not allowed", r.err)
        self.assertIn("refused.bpf.c:%d" % self.source_line("if (index > 3)"), r.err)
        self.assertIn("has no lower bound here", r.err)

    def test_json_has_the_same_parts(self):
        e = self.one("indexed")
        self.assertEqual((e["program"], e["type"], e["errno"], e["function"], e["cut"]), ("indexed", "kprobe", "EINVAL", "indexed", False))
        self.assertEqual(e["source"]["line"], self.source_line("too far below"))
        self.assertIn("return (int)values[index];", e["source"]["text"])
        self.assertTrue(any("map_value" in k for k in e["known"]), e)
        lines = [s["source"]["line"] for s in e["steps"] if s["source"]]
        self.assertIn(self.source_line("if (index > 3)"), lines)
        self.assertIn(self.source_line("long index = values[0]"), lines)
        self.assertIn("unsigned", e["hint"])

    def test_leak_names_where_it_was_taken_and_the_branch(self):
        e = self.one("kept")
        self.assertIn("Unreleased reference", e["sentence"])
        self.assertEqual(e["steps"][-1]["source"]["line"], self.source_line("bpf_ringbuf_reserve(&output"))
        self.assertIn(self.source_line("still held"), [s["source"]["line"] for s in e["steps"]])
        self.assertIn("bpf_ringbuf_submit()", e["hint"])

    def test_session_tells_what_was_refused_in_it(self):
        keeper = self.home.keep("told")
        argv = [SKEP, "explain", "--session", "told"]
        self.home.run_plain(argv).expect(self, 0, "no program was refused\n", "")
        self.home.run(self.load("indexed"), "told").expect(self, 0, "indexed 22\n")
        first = self.home.run_plain(argv)
        self.assertIn("program indexed of type kprobe", first.out)
        # A command's explanation has what was refused while it ran, and no more.
        r = self.explain(self.load("kept"), "--session", "told")
        self.assertIn("program kept of type kprobe", r.err)
        self.assertNotIn("indexed", r.err)
        both = self.home.run_plain(argv)
        self.assertIn("program indexed", both.out)
        self.assertIn("program kept", both.out)
        # What is refused again is told once.
        self.home.run(self.load("kept"), "told")
        self.assertEqual(self.home.run_plain(argv).out.count("program kept"), 1)
        keeper.stdin.close()

    def test_history_is_bounded_and_says_so(self):
        source = ("import ctypes, struct\n"
                  "libc = ctypes.CDLL(None)\n"
                  "gpl = ctypes.create_string_buffer(b'GPL')\n"
                  "for i in range(20):\n"
                  "    insns = ctypes.create_string_buffer(struct.pack('<BBhi', 0xb7, 0, 0, i) + struct.pack('<BBhi', 0xb7, 12, 0, i), 16)\n"
                  "    attr = ctypes.create_string_buffer(struct.pack('<IIQQIIQII', 1, 2, ctypes.addressof(insns), ctypes.addressof(gpl), 0, 0, 0, 0, 0)\n"
                  "                                       + b'r%d' % i, 72)\n"
                  "    libc.syscall(321, 5, attr, 72)\n")
        r = self.explain([PYTHON, "-c", source])
        self.assertEqual(r.status, 0, r)
        self.assertTrue(r.err.startswith("the newest 16 refusals, earlier ones are forgotten:\n"), r)
        self.assertEqual([i for i in range(20) if "program r%d of type socket_filter" % i in r.err], list(range(4, 20)), r)

    def test_mistakes(self):
        r = self.home.run_plain([SKEP, "explain", "--session", "nobody"])
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertIn("there is no session nobody", r.err)
        self.home.run_plain([SKEP, "explain"]).expect(self, 0, "no session is running\n", "")


if __name__ == "__main__":
    main()
