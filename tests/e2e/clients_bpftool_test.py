"""bpftool 7.1 as Debian has it, beside the clients whose objects it shows. What it does to skep's own loader: bpftool_test."""
import json
import os
import re
import signal
import unittest

from clients import SESSION, ClientCase
from skep_e2e import BUILD, find_program, main

PROGRAM_TYPES = 31  # those that bpftool 7.1 knows
# Kinds that user space can fill by bpftool: key bytes, value bytes, flags.
FILLED = {"hash": (4, 8, 0), "percpu_hash": (4, 8, 0), "array": (4, 8, 0), "percpu_array": (4, 8, 0), "lru_hash": (4, 8, 0),
          "lru_percpu_hash": (4, 8, 0), "lpm_trie": (8, 4, 1)}

COUNTER = '''#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
unsigned long long ppids;
SEC("tracepoint/syscalls/sys_enter_getpriority")
int count(struct trace_event_raw_sys_enter *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  if (ctx->args[1] == 1000004711) __sync_fetch_and_add(&ppids, BPF_CORE_READ(task, real_parent, tgid));
  return 0;
}
char LICENSE[] SEC("license") = "GPL";'''
ITERATOR = '''#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("iter/task")
int walk(struct bpf_iter__task *ctx) {
  return 0;
}
char LICENSE[] SEC("license") = "GPL";'''


class Bpftool(ClientCase):
    def setUp(self):
        self.need("bpftool")
        super().setUp()

    def bpftool(self, *args, status=0, fake_root=False):
        r = self.as_root(*args) if fake_root else self.home.run(["bpftool", *args], SESSION)
        if status is not None:
            self.assertEqual(r.status, status, (args, r))
        return r.out

    def as_root(self, *args):
        argv = self.home.skep_argv(["bpftool", *args], SESSION)
        argv.insert(argv.index("--session"), "--fake-root")
        return self.home.run_plain(argv)

    def json(self, *args, **kw):
        return json.loads(self.bpftool("-j", *args, **kw))

    def test_features(self):
        """What a probe of each kind says is what the kernel says that skep is pinned to, and what skep then does."""
        found = self.json("feature", "probe", "kernel", fake_root=True)
        self.assertEqual(found["syscall_config"], {"have_bpf_syscall": True})
        self.assertEqual(set(found["misc"].values()), {True})
        types = {re.fullmatch("have_(.*)_map_type", k).group(1): v for k, v in found["map_types"].items()}
        self.assertEqual([t for t, there in types.items() if not there], ["struct_ops"])
        programs = found["program_types"]
        self.assertEqual(len(programs), PROGRAM_TYPES)
        self.assertTrue(programs["have_kprobe_prog_type"] and programs["have_tracepoint_prog_type"])
        helpers = found["helpers"]["kprobe_available_helpers"]
        for name in ("map_lookup_elem", "perf_event_output", "get_stackid", "override_return", "send_signal", "ringbuf_output",
                     "get_current_task"):
            self.assertIn("bpf_" + name, helpers)
        for kind, (key, value, flags) in FILLED.items():
            self.assertTrue(types[kind], kind)
            at = "/sys/fs/bpf/" + kind
            self.bpftool("map", "create", at, "type", kind, "key", str(key), "value", str(value), "entries", "4",
                         "name", kind, "flags", str(flags))
            k = ["key"] + (["8"] if kind == "lpm_trie" else ["1"]) + ["0"] * (key - 1)
            if "percpu" not in kind:
                self.bpftool("map", "update", "pinned", at, *k, "value", *["7"] * value)
                self.assertIn("07 07", self.bpftool("map", "lookup", "pinned", at, *k))

    def test_features_for_a_user(self):
        self.assertIn("bpf() syscall for unprivileged users is enabled", self.bpftool("feature", "probe", "unprivileged"))

    def test_objects_of_a_client(self):
        c = self.client("opensnoop").attached(4)
        pid = c.pid()
        programs = {p["id"]: p for p in self.json("prog", "list") if p["type"] == "tracepoint"}
        perf = self.json("perf", "list")
        self.assertEqual(sorted(p["tracepoint"] for p in perf),
                         ["sys_enter_open", "sys_enter_openat", "sys_exit_open", "sys_exit_openat"])
        self.assertEqual({p["pid"] for p in perf}, {pid})
        for p in perf:
            name = programs[p["prog_id"]]["name"]
            self.assertTrue(("tracepoint__syscalls__" + p["tracepoint"]).startswith(name), (p, name))
        links = self.json("link", "list")
        self.assertEqual({l["prog_id"] for l in links}, {p["prog_id"] for p in perf})
        self.assertEqual({l["type"] for l in links}, {"perf_event"})
        maps = {m["name"]: m["type"] for m in self.json("map", "list")}
        self.assertEqual({n: maps.get(n) for n in ("start", "events", "opensnoo.rodata")},
                         {"start": "hash", "events": "perf_event_array", "opensnoo.rodata": "array"})
        btf = self.json("btf", "list")
        self.assertEqual({i for b in btf for i in b.get("prog_ids", [])}, set(programs))
        rodata = self.json("map", "dump", "name", "opensnoo.rodata")
        self.assertIn("targ_failed", json.dumps(rodata))
        for p in programs:
            self.assertIn("exit", self.bpftool("prog", "dump", "xlated", "id", str(p)))
        c.stop(signal.SIGINT)
        self.assertEqual((self.json("prog", "list"), self.json("link", "list"), self.json("perf", "list")), ([], [], []))

    def compile(self, source_text):
        """An object, with the header of all the kernel's types: what everybody begins with."""
        clang = find_program("clang-14") or find_program("clang")
        if clang is None:
            self.skipTest("clang is not installed")
        header = self.bpftool("btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c")
        self.assertIn("struct task_struct {", header)
        with open(os.path.join(self.dir, "vmlinux.h"), "w") as f:
            f.write(header)
        source, obj = os.path.join(self.dir, "p.bpf.c"), os.path.join(self.dir, "p.bpf.o")
        with open(source, "w") as f:
            f.write(source_text)
        r = self.home.run_plain([clang, "-target", "bpf", "-D__TARGET_ARCH_x86", "-O2", "-g", "-I", self.dir,
                                 "-I/usr/include/x86_64-linux-gnu", "-c", source, "-o", obj])
        self.assertEqual((r.status, r.err), (0, ""))
        os.chmod(obj, 0o644)
        return obj

    def test_vmlinux_header(self):
        obj = self.compile(COUNTER)
        skeleton = self.bpftool("gen", "skeleton", obj, "name", "counter")
        for part in ("struct counter {", "counter__open_and_load(", "counter__attach("):
            self.assertIn(part, skeleton)
        self.bpftool("prog", "load", obj, "/sys/fs/bpf/counted")
        self.assertEqual(self.json("prog", "show", "pinned", "/sys/fs/bpf/counted")["name"], "count")
        self.bpftool("gen", "object", os.path.join(self.dir, "linked.o"), obj)
        self.assertIn("trace_event_raw_sys_enter", self.bpftool("btf", "dump", "file", os.path.join(self.dir, "linked.o")))
        self.sh("rm /sys/fs/bpf/counted")

    def test_iterators(self):
        """They load. There is nothing of the kernel's to walk: the attempt is refused, and named."""
        obj = self.compile(ITERATOR)
        r = self.home.run(["bpftool", "iter", "pin", obj, "/sys/fs/bpf/i"], SESSION)
        self.assertEqual(r.status, 234, r)  # -EINVAL
        self.assertIn("failed to attach to iterator: Invalid argument", r.err)
        self.assertTrue(any("LINK_CREATE" in l for l in self.home.doctor(SESSION)), self.home.doctor(SESSION))

    @unittest.expectedFailure  # GNU mkdir goes there step by step: names relative to a directory above are the machine's
    def test_directories_of_pins_by_mkdir_p(self):
        self.sh("mkdir -p /sys/fs/bpf/one/two && test -d /sys/fs/bpf/one/two && rmdir /sys/fs/bpf/one/two /sys/fs/bpf/one")

    def test_batch(self):
        path = os.path.join(self.dir, "batch")
        with open(path, "w") as f:
            f.write("# a map\nmap create /sys/fs/bpf/m type hash key 4 value 4 entries 4 name m\n"
                    "map update pinned /sys/fs/bpf/m key 1 0 0 0 value 5 0 0 0\nmap dump pinned /sys/fs/bpf/m\n")
        out = self.bpftool("batch", "file", path)
        self.assertIn("processed 3 commands", out)
        self.assertIn("key: 01 00 00 00  value: 05 00 00 00", out)
        self.sh("rm /sys/fs/bpf/m")

    def test_tracelog(self):
        log = self.client("bpftool", "prog", "tracelog")
        obj = os.path.join(BUILD, "examples", "hello-xdp", "hello.bpf.o")
        self.bpftool("prog", "load", obj, "/sys/fs/bpf/x")
        data = os.path.join(self.dir, "packet")
        with open(data, "wb") as f:
            f.write(bytes(64))
        self.bpftool("prog", "run", "pinned", "/sys/fs/bpf/x", "data_in", data, "repeat", "3")
        log.await_lines("three lines", lambda lines: sum("Hello World" in l for l in lines) >= 3)
        log.stop(signal.SIGINT)

    def test_what_user_space_has_not(self):
        """Honest answers, and an end."""
        for command in (["net"], ["cgroup", "tree"], ["struct_ops", "list"]):
            r = self.as_root(*command)
            self.assertIn(r.status, (0, 234, 255), r)  # -EINVAL, -1


if __name__ == "__main__":
    main()
