"""Debian's bpftool, as it comes, looks at and changes what a loader made under skep."""
import json
import os
import re
import tempfile

from skep_e2e import PERF, RING, XDP_OBJECT, Case, Loader, main

CONFIG = [{"key": 0, "value": {"message": "Hey root!"}}, {"key": 501, "value": {"message": "Hi user 501!"}}]
FAILS = -1


class Bpftool(Case):
    loader_name = PERF
    value_size = 13  # of the map config

    def setUp(self):
        self.need("bpftool")
        super().setUp()
        self.loader = Loader(self.home, self.loader_name, "b")
        self.pid = self.loader_pid()

    def loader_pid(self):
        """Of the loader itself, the child of `skep run`."""
        run = self.loader.process.pid
        with open("/proc/%d/task/%d/children" % (run, run)) as f:
            return int(f.read().split()[0])

    def bpftool(self, *args, status=0):
        r = self.home.run(["bpftool", *args], "b")
        if status == FAILS:
            self.assertGreater(r.status, 200, (args, r))  # bpftool's -1, or -errno, as its commands have it
        else:
            self.assertEqual(r.status, status, (args, r))
        return r.out

    def json(self, *args):
        """The same by -j and by -p."""
        compact, pretty = self.bpftool("-j", *args), self.bpftool("-p", *args)
        self.assertEqual(json.loads(compact), json.loads(pretty))
        if json.loads(compact):
            self.assertGreater(pretty.count("\n"), compact.count("\n"))
        return json.loads(compact)

    def value(self, text):
        return [str(b) for b in text.ljust(self.value_size, b"\0")]

    def the_program(self):
        programs = self.json("prog", "list")
        self.assertEqual(len(programs), 1)
        return programs[0]

    def test_prog_list(self):
        p = self.the_program()
        maps = self.json("map", "list")
        uid = self.home.user
        for field, value in {"type": "kprobe", "name": "hello", "gpl_compatible": True, "uid": uid, "bytes_memlock": 4096}.items():
            self.assertEqual(p[field], value, field)
        self.assertRegex(p["tag"], r"^[0-9a-f]{16}$")
        self.assertGreater(p["bytes_xlated"], 0)
        self.assertEqual(p["bytes_xlated"] % 8, 0)
        self.assertIn(p["jited"], (True, False))
        names = {m["id"]: m["name"] for m in maps}
        self.assertTrue({"config", "output"} <= {names[i] for i in p["map_ids"]}, (p, names))
        text = self.bpftool("prog", "list")
        self.assertRegex(text, r"(?s)^%d: kprobe  name hello  tag %s  gpl\n"
                               r"\tloaded_at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}  uid %d\n"
                               r"\txlated %dB  (not jited|jited \d+B)  memlock 4096B  map_ids [\d,]+\n\tbtf_id %d\n$"
                         % (p["id"], p["tag"], uid, p["bytes_xlated"], p["btf_id"]))
        self.assertEqual(self.bpftool("prog", "show", "id", str(p["id"])), text)
        self.assertEqual(self.bpftool("prog", "show", "name", "hello"), text)
        self.assertEqual(self.bpftool("prog", "show", "tag", p["tag"]), text)

    def test_prog_dump(self):
        p = self.the_program()
        text = self.bpftool("prog", "dump", "xlated", "id", str(p["id"]))
        self.assertIn("call bpf_get_current_pid_tgid", text)
        self.assertRegex(text, r"map\[id:\d+\]")
        self.assertIn("exit", text)
        opcodes = self.json("prog", "dump", "xlated", "id", str(p["id"]))
        self.assertTrue(all("disasm" in i for i in opcodes))

    def test_map_list(self):
        maps = {m["name"]: m for m in self.json("map", "list")}
        for field, value in {"type": "hash", "flags": 0, "bytes_key": 4, "bytes_value": self.value_size, "max_entries": 10240,
                             "frozen": 0}.items():
            self.assertEqual(maps["config"][field], value, field)
        self.assertGreater(maps["config"]["bytes_memlock"], 10240 * 17)
        self.assertEqual(maps["config"]["btf_id"], self.the_program()["btf_id"])
        if self.loader_name == PERF:
            cpus = os.sysconf("SC_NPROCESSORS_CONF")
            for field, value in {"type": "perf_event_array", "bytes_key": 4, "bytes_value": 4, "max_entries": cpus}.items():
                self.assertEqual(maps["output"][field], value, field)
            self.assertEqual(set(maps), {"config", "output"})
        else:
            for field, value in {"type": "ringbuf", "bytes_key": 0, "bytes_value": 0, "max_entries": 4096}.items():
                self.assertEqual(maps["output"][field], value, field)
        text = self.bpftool("map", "list")
        self.assertRegex(text, r"(?m)^%d: hash  name config  flags 0x0\n"
                               r"\tkey 4B  value %dB  max_entries 10240  memlock \d+B\n\tbtf_id %d$"
                         % (maps["config"]["id"], self.value_size, maps["config"]["btf_id"]))
        self.assertEqual(self.json("map", "show", "name", "config")["id"], maps["config"]["id"])

    def test_map_dump(self):
        def by_key(entries):
            return sorted(entries, key=lambda e: e["key"])
        if self.loader_name == RING:  # its messages fill the array, without a NUL: bpftool then shows an array of numbers
            dump = json.loads(self.bpftool("map", "dump", "name", "config"))
            self.assertEqual(by_key(dump)[1], {"key": 501, "value": {"message": list(b"Hi user 501!")}})
            return
        # The text is JSON when the map has BTF, as on Linux.
        text = self.bpftool("map", "dump", "name", "config")
        self.assertEqual(by_key(json.loads(text)), CONFIG)
        entry = '{\n        "key": %d,\n        "value": {\n            "message": "%s"\n        }\n    }'
        one, other = (entry % (e["key"], e["value"]["message"]) for e in CONFIG)
        self.assertIn(text, ("[%s,%s\n]\n" % (one, other), "[%s,%s\n]\n" % (other, one)))
        raw = self.json("map", "dump", "name", "config")
        self.assertEqual(by_key([e["formatted"] for e in raw]), CONFIG)
        for e in raw:
            self.assertEqual(int.from_bytes(bytes(int(b, 16) for b in e["key"]), "little"), e["formatted"]["key"])
            message = bytes(int(b, 16) for b in e["value"])
            self.assertEqual(len(message), 13)
            self.assertEqual(message.rstrip(b"\0").decode(), e["formatted"]["value"]["message"])

    def test_map_changes(self):
        key = ["1", "2", "0", "0"]  # 513
        value = self.value(b"Hi")
        lookup = ("map", "lookup", "name", "config", "key", *key)
        self.bpftool(*lookup, status=FAILS)
        self.bpftool("map", "update", "name", "config", "key", *key, "value", *value)
        self.assertEqual(json.loads(self.bpftool(*lookup)), {"key": 513, "value": {"message": "Hi"}})
        self.assertEqual(self.json(*lookup)["formatted"]["value"]["message"], "Hi")
        self.bpftool("map", "update", "name", "config", "key", *key, "value", *value, "noexist", status=FAILS)
        self.bpftool("map", "update", "name", "config", "key", "9", "9", "0", "0", "value", *value, "exist", status=FAILS)
        self.bpftool("map", "update", "name", "config", "key", *key, "value", *value, "exist")
        # A walk by getnext meets each key once.
        seen, at = [], []
        while True:
            r = self.home.run(["bpftool", "-j", "map", "getnext", "name", "config"] + (["key", *at] if at else []), "b")
            if r.status != 0:
                self.assertIn("No such file or directory", r.out + r.err)
                break
            at = [str(int(b, 16)) for b in json.loads(r.out)["next_key"]]
            seen.append(int.from_bytes(bytes(map(int, at)), "little"))
            self.assertLess(len(seen), 10)
        self.assertEqual(sorted(seen), [0, 501, 513])
        self.bpftool("map", "delete", "name", "config", "key", *key)
        self.bpftool("map", "delete", "name", "config", "key", *key, status=FAILS)
        self.bpftool(*lookup, status=FAILS)

    def test_a_change_reaches_the_program(self):
        uid = self.home.user
        key = [str(b) for b in uid.to_bytes(4, "little")]
        self.bpftool("map", "update", "name", "config", "key", *key, "value", *self.value(b"Hello World"))
        self.bpftool("map", "update", "name", "config", "key", *key, "value", *self.value(b"Hi user 501!"))
        r = self.home.run(["sh", "-c", "/bin/true & echo $!; wait"], "b").expect(self, 0)
        events = [e for e in self.loader.fence() if e.pid == int(r.out)]
        self.assertEqual([e.message for e in events], ["Hi user 501!"])

    def test_btf_list(self):
        btf = self.json("btf", "list")
        mine = [b for b in btf if b["id"] == self.the_program()["btf_id"]]
        self.assertEqual(len(mine), 1)
        self.assertEqual(mine[0]["prog_ids"], [self.the_program()["id"]])
        self.assertFalse(mine[0].get("kernel", False))
        self.assertIn("STRUCT 'user_msg_t'", self.bpftool("btf", "dump", "id", str(mine[0]["id"])))

    def test_link_list(self):
        links = self.json("link", "list")
        self.assertEqual(len(links), 1)
        self.assertEqual((links[0]["type"], links[0]["prog_id"]), ("perf_event", self.the_program()["id"]))

    def test_perf_list(self):
        """One line: the loader's own perf event. A link's fd answers no query. Linux: syscall.c:bpf_task_fd_query()"""
        prog = self.the_program()["id"]
        fd = self.perf_event_fd()
        self.assertEqual(self.bpftool("perf", "list"),
                         "pid %d  fd %d: prog_id %d  kprobe  func __x64_sys_execve  offset 0\n" % (self.pid, fd, prog))
        self.assertEqual(self.json("perf", "list"), [{"pid": self.pid, "fd": fd, "prog_id": prog, "fd_type": "kprobe",
                                                      "func": "__x64_sys_execve", "offset": 0}])

    def fd_links(self):
        out = self.home.run(["sh", "-c", 'for f in /proc/$0/fd/*; do echo "${f##*/} $(readlink $f)"; done', str(self.pid)], "b").out
        return dict((int(l.split(" ", 1)[0]), l.split(" ", 1)[1]) for l in out.splitlines())

    def perf_event_fd(self):
        """The last one opened: those before it are the perf buffer's, one a processor."""
        return max(fd for fd, to in self.fd_links().items() if to == "anon_inode:[perf_event]")

    def test_fd_links(self):
        links = sorted(to for to in self.fd_links().values() if to.startswith("anon_inode:") and "eventpoll" not in to)
        maps = len(self.json("map", "list"))
        events = 1 + (os.sysconf("SC_NPROCESSORS_ONLN") if self.loader_name == PERF else 0)
        self.assertEqual(links, sorted(["anon_inode:btf"] + ["anon_inode:bpf-map"] * maps + ["anon_inode:bpf-prog"] +
                                       ["anon_inode:[perf_event]"] * events + ["anon_inode:bpf_link"]))

    def fdinfo(self, fd):
        text = self.home.run(["cat", "/proc/%d/fdinfo/%d" % (self.pid, fd)], "b").expect(self, 0).out
        return dict(re.fullmatch(r"(\w+):\t(.*)", l).groups() for l in text.splitlines())

    def test_fdinfo(self):
        maps = {m["id"]: m for m in self.json("map", "list")}
        prog, seen = self.the_program(), set()
        for fd, to in self.fd_links().items():
            if not to.startswith("anon_inode:") or "eventpoll" in to:
                continue
            info = self.fdinfo(fd)
            self.assertEqual(info["pos"], "0")
            if to == "anon_inode:bpf-map":
                m = maps[int(info["map_id"])]
                seen.add(m["name"])
                types = {"hash": "1", "array": "2", "perf_event_array": "4", "ringbuf": "27"}
                self.assertEqual(info["map_type"], types[m["type"]])
                self.assertEqual([info["key_size"], info["value_size"], info["max_entries"], info["memlock"]],
                                 [str(m[k]) for k in ("bytes_key", "bytes_value", "max_entries", "bytes_memlock")])
                self.assertEqual((info["map_extra"], info["frozen"]), ("0x0", "0"))
                self.assertRegex(info["map_flags"], r"^0x[0-9a-f]+$")
            elif to == "anon_inode:bpf-prog":
                self.assertEqual((info["prog_type"], info["prog_tag"], info["prog_id"], info["memlock"]),
                                 ("2", prog["tag"], str(prog["id"]), "4096"))
                for field in ("prog_jited", "run_time_ns", "run_cnt", "recursion_misses", "verified_insns"):
                    self.assertRegex(info[field], r"^\d+$")
            elif to == "anon_inode:btf":
                self.assertEqual(info["btf_id"], str(prog["btf_id"]))
            elif to == "anon_inode:bpf_link":
                self.assertEqual((info["link_type"], info["prog_id"], info["prog_tag"]), ("perf", str(prog["id"]), prog["tag"]))
        self.assertTrue({"config", "output"} <= seen)

    def test_open_modes_of_fds(self):
        """The access mode that /proc shows of an fd is that of Linux's anonymous inodes, and nothing waits by O_NONBLOCK."""
        for fd, to in self.fd_links().items():
            if to.startswith("anon_inode:") and "eventpoll" not in to:
                self.assertEqual(self.fdinfo(fd)["flags"], "02000000" if to == "anon_inode:btf" else "02000002", to)

    def test_pinned_program(self):
        self.bpftool("prog", "load", XDP_OBJECT, "/sys/fs/bpf/hello")
        shown = self.json("prog", "show", "pinned", "/sys/fs/bpf/hello")
        self.assertEqual((shown["type"], shown["name"], shown["gpl_compatible"]), ("xdp", "hello", True))
        # bpftool has gone; the program lives on, with its maps.
        self.assertEqual(sorted(p["name"] + " " + p["type"] for p in self.json("prog", "list")), ["hello kprobe", "hello xdp"])
        self.assertEqual(self.json("prog", "show", "id", str(shown["id"]))["id"], shown["id"])
        maps = {m["id"] for m in self.json("map", "list")}
        self.assertTrue(set(shown["map_ids"]) <= maps and shown["map_ids"])
        listed = self.home.run(["ls", "-A", "/sys/fs/bpf"], "b").expect(self, 0)
        self.assertEqual(listed.out.split(), ["hello"])
        self.bpftool("prog", "load", XDP_OBJECT, "/sys/fs/bpf/hello", status=FAILS)  # EEXIST
        self.home.run(["rm", "/sys/fs/bpf/hello"], "b").expect(self, 0)
        self.assertEqual([p["type"] for p in self.json("prog", "list")], ["kprobe"])
        self.assertFalse(set(shown["map_ids"]) & {m["id"] for m in self.json("map", "list")})
        self.assertEqual([b["id"] for b in self.json("btf", "list") if not b["kernel"]], [self.json("prog", "list")[0]["btf_id"]])
        self.bpftool("prog", "show", "pinned", "/sys/fs/bpf/hello", status=FAILS)

    def test_pinned_paths_are_found(self):
        """bpftool -f looks for file systems of type bpf in /proc/mounts and walks them."""
        self.bpftool("prog", "load", XDP_OBJECT, "/sys/fs/bpf/hello")
        shown = json.loads(self.bpftool("-j", "-f", "prog", "list"))
        self.assertEqual([p.get("pinned", []) for p in shown if p["type"] == "xdp"], [["/sys/fs/bpf/hello"]])

    def test_pinned_map(self):
        self.bpftool("map", "create", "/sys/fs/bpf/m", "type", "array", "key", "4", "value", "8", "entries", "2", "name", "mine")
        self.bpftool("map", "update", "pinned", "/sys/fs/bpf/m", "key", "1", "0", "0", "0", "value", "7", *["0"] * 7)
        dump = self.json("map", "dump", "pinned", "/sys/fs/bpf/m")
        self.assertEqual([e["value"][0] for e in dump], ["0x00", "0x07"])
        self.bpftool("map", "pin", "name", "config", "/sys/fs/bpf/config")
        self.assertEqual(self.loader.stop()[0], 0)
        # The map outlives its loader, with what is in it; but the session has to be kept by somebody: bpftool alone does not.

    def test_bpffs_directories(self):
        script = """set -e
          mkdir /sys/fs/bpf/d; mkdir /sys/fs/bpf/d/e; ls /sys/fs/bpf /sys/fs/bpf/d; stat -f -c %T /sys/fs/bpf
          bpftool map create /sys/fs/bpf/d/m type hash key 4 value 4 entries 1 name m
          ! rmdir /sys/fs/bpf/d 2>/dev/null
          mv /sys/fs/bpf/d/m /sys/fs/bpf/d/e/n; ls /sys/fs/bpf/d/e; cd /sys/fs/bpf/d; ls
          bpftool map show pinned /sys/fs/bpf/d/e/n >/dev/null
          rm e/n; cd /; rmdir /sys/fs/bpf/d/e /sys/fs/bpf/d; ls -A /sys/fs/bpf"""
        self.home.run(["sh", "-c", script], "b").expect(
            self, 0, "/sys/fs/bpf:\nd\n\n/sys/fs/bpf/d:\ne\nbpf_fs\nn\ne\n", "")
        self.assertNotIn("m", [m["name"] for m in self.json("map", "list")])

    def test_a_link_in_bpffs_keeps_the_probe(self):
        link = self.json("link", "list")[0]["id"]
        self.home.keep("b")
        self.bpftool("link", "pin", "id", str(link), "/sys/fs/bpf/link")
        self.assertEqual(self.loader.stop(), (0, ""))
        self.assertEqual([l["id"] for l in self.json("link", "list")], [link])
        self.assertEqual([p["type"] for p in self.json("prog", "list")], ["kprobe"])
        self.home.run(["rm", "/sys/fs/bpf/link"], "b").expect(self, 0)
        self.assertEqual((self.json("link", "list"), self.json("prog", "list"), self.json("map", "list")), ([], [], []))

    def test_errors_are_the_kernels(self):
        r = self.home.run(["bpftool", "prog", "show", "id", "4000000"], "b")
        self.assertEqual(r.status, 255)
        self.assertIn("No such file or directory", r.out + r.err)
        with tempfile.NamedTemporaryFile(dir=self.home.top) as f:
            os.chmod(f.name, 0o644)
            f.write(b"not an object")
            f.flush()
            self.assertEqual(self.home.run(["bpftool", "prog", "load", f.name, "/sys/fs/bpf/x"], "b").status, 255)
        self.assertEqual(self.home.run(["ls", "-A", "/sys/fs/bpf"], "b").out, "")


class BpftoolRing(Bpftool):
    loader_name = RING
    value_size = 12



class Sessions(Case):
    def test_sessions_are_apart(self):
        self.need("bpftool")
        a = Loader(self.home, PERF, "a")
        self.home.keep("other")
        for kind in ("prog", "map", "link", "btf"):
            listed = json.loads(self.home.run(["bpftool", "-j", kind, "list"], "other").expect(self, 0).out)
            self.assertEqual([o for o in listed if not o.get("kernel")], [], kind)  # the kernel's own BTF is everywhere
        # And a map's name in one is nothing in the other.
        self.assertEqual(self.home.run(["bpftool", "map", "dump", "name", "config"], "other").status, 255)
        self.assertEqual(self.home.run(["bpftool", "map", "dump", "name", "config"], "a").status, 0)
        self.assertEqual(a.stop(), (0, ""))


if __name__ == "__main__":
    main()
