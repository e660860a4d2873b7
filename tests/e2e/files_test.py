"""The files, limits and ids that clients of bpf(2) ask for beside it: kernel headers, tracefs, settings, mounts, and --fake-root."""
import glob
import json
import os
import textwrap

from skep_e2e import PERF, PYTHON, SKEP, Case, Loader, find_program, main

RELEASE = os.uname().release
BUILD_TREE = "/lib/modules/%s/build" % RELEASE
CAP_SYS_ADMIN = 21


class FilesCase(Case):
    def skep(self, command, options=(), status=0, **kw):
        r = self.home.run_plain(self.home.prefix() + [SKEP, "run", *options, "--", *command], **kw)
        self.assertEqual(r.status, status, r)
        return r.out

    def python(self, script, options=(), **kw):
        """Runs it under skep; what it leaves in `out`."""
        text = "import os, errno, json\nout = {}\n" + textwrap.dedent(script) + "\nprint(json.dumps(out))"
        return json.loads(self.skep([PYTHON, "-c", text], options, **kw))

    def need_bcc(self):
        if self.home.run_plain([PYTHON, "-c", "import bcc"]).status != 0:
            self.skipTest("python3-bpfcc is not installed")

    def need_headers(self):
        if not glob.glob("/usr/src/linux-headers-6.1.0-*-amd64/include/generated/autoconf.h"):
            self.skipTest("linux-headers-amd64 of Debian 12 is not installed")


class Headers(FilesCase):
    def test_a_tree_of_the_users_own(self):
        """It comes before all others, and may lack most of a kernel."""
        tree = os.path.join(self.home.top, "tree")
        for name in ("include/linux/kconfig.h", "include/generated/autoconf.h"):
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), "w") as f:
                f.write(name)
        env = dict(self.home.env, SKEP_KERNEL_HEADERS=tree)
        out = self.python("""
            build = "%s"
            out["absolute"] = open(build + "/include/linux/kconfig.h").read()
            out["again"] = open(build + "/include/../include/generated/autoconf.h").read()
            out["missing"] = os.path.exists(build + "/include/linux/sched.h")
            out["source"] = os.path.exists(build.replace("build", "source"))
            os.chdir(build)
            out["relative"] = open("include/generated/autoconf.h").read()
        """ % BUILD_TREE, env=env)
        self.assertEqual(out, {"absolute": "include/linux/kconfig.h", "again": "include/generated/autoconf.h", "missing": False, "source": False,
                               "relative": "include/generated/autoconf.h"})

    def test_debian_halves_are_one_tree(self):
        self.need_headers()
        names = ["include/linux/sched.h", "include/generated/autoconf.h", "include/generated/uapi/linux/version.h",
                 "arch/x86/include/asm/ptrace.h", "arch/x86/include/generated/uapi/asm/errno.h", "include/uapi/linux/bpf.h"]
        out = self.python("""
            for name in %r: out[name] = len(open("%s/" + name).read()) > 0
            out["version"] = open("%s/include/generated/uapi/linux/version.h").read()
        """ % (names, BUILD_TREE, BUILD_TREE))
        self.assertTrue(all(out[name] for name in names), out)
        self.assertIn("#define LINUX_VERSION_PATCHLEVEL 1\n", out["version"])
        doctor = self.home.run_plain([SKEP, "doctor"]).out
        self.assertRegex(doctor, r"(?m)^kernel headers +ok +/usr/src/linux-headers-6\.1\.0-")

    def test_bcc_compiles(self):
        """And looks for no kernel module to get them from."""
        self.need_headers()
        self.need_bcc()
        fakes = os.path.join(self.home.top, "fakes")
        mark = os.path.join(self.home.top, "run", "modprobe-was-called")
        os.makedirs(fakes)
        with open(os.path.join(fakes, "modprobe"), "w") as f:
            f.write("#!/bin/sh\ntouch %s\nexit 1\n" % mark)
        os.chmod(f.name, 0o755)
        env = dict(self.home.env, PATH=fakes + ":" + self.home.env["PATH"])
        program = """
            #include <linux/sched.h>
            _Static_assert(sizeof(((struct task_struct *)0)->comm) == TASK_COMM_LEN, "the kernel's own");
            int f(void *ctx) { return 0; }
        """
        self.assertEqual(self.skep([PYTHON, "-c", "from bcc import BPF; BPF(text=%r); print('compiled')" % program], env=env), "compiled\n")
        self.assertFalse(os.path.exists(mark))


class Tracefs(FilesCase):
    def test_directories_list_what_is_there(self):
        out = self.python("""
            top = "/sys/kernel/tracing"
            out["systems"] = sorted(os.listdir(top + "/events"))
            out["sched"] = sorted(os.listdir("/sys/kernel/debug/tracing/events/sched"))
            out["syscalls"] = os.listdir(top + "/events/syscalls")
            out["available"] = open(top + "/available_events").read().split()
            out["files"] = os.listdir(top)
            out["empty"] = [open(top + "/" + f).read() for f in ("kprobe_events", "set_event")]
        """)
        self.assertEqual(out["systems"], ["enable", "raw_syscalls", "sched", "signal", "syscalls"])
        self.assertEqual(out["sched"], ["enable", "sched_process_exec", "sched_process_exit", "sched_process_fork"])
        listed = {e.split(":")[1] for e in out["available"] if e.startswith("syscalls:")}
        self.assertEqual(set(out["syscalls"]), listed | {"enable"})
        self.assertIn("sys_enter_execve", listed)
        self.assertTrue({"trace_pipe", "available_filter_functions", "events", "trace", "tracing_on"} <= set(out["files"]), out["files"])
        self.assertEqual(out["empty"], ["", ""])

    def test_names_relative_to_a_directory(self):
        """A file there need not have been asked for by its whole path before."""
        out = self.python("""
            fd = os.open("/sys/kernel/tracing/events", os.O_RDONLY | os.O_DIRECTORY)
            def read(name): return os.read(os.open(name, os.O_RDONLY, dir_fd=fd), 4096).decode()
            out["id"] = read("raw_syscalls/sys_enter/id")
            out["format"] = read("syscalls/sys_enter_openat/format")
            os.chdir("/sys/kernel/debug/tracing/events/signal")
            out["cwd"] = [open("signal_generate/id").read(), open("/sys/kernel/tracing/events/signal/signal_generate/id").read()]
        """)
        self.assertGreater(int(out["id"]), 0)
        self.assertIn("name: sys_enter_openat\n", out["format"])
        self.assertEqual(out["cwd"][0], out["cwd"][1])

    def test_nothing_is_written(self):
        out = self.python("""
            def write(path, flags=os.O_WRONLY):
                try: os.open(path, flags, 0o600)
                except OSError as e: return errno.errorcode[e.errno]
            top = "/sys/kernel/tracing/"
            for name in ("kprobe_events", "uprobe_events", "tracing_on", "events/sched/sched_process_exec/enable"):
                out[name] = write(top + name)
            out["new"] = write(top + "new", os.O_WRONLY | os.O_CREAT)
            out["setting"] = write("/proc/sys/net/core/bpf_jit_enable", os.O_RDWR)
            out["uprobes"] = os.path.exists(top + "uprobe_events")
        """)
        self.assertEqual(out, {"kprobe_events": "EACCES", "uprobe_events": "ENOENT", "tracing_on": "EACCES",
                               "events/sched/sched_process_exec/enable": "EACCES", "new": "EACCES", "setting": "EACCES", "uprobes": False})


class Settings(FilesCase):
    def test_limits_and_configuration(self):
        out = self.python("""
            for path in ("net/core/bpf_jit_enable", "net/core/bpf_jit_harden", "net/core/bpf_jit_kallsyms", "net/core/bpf_jit_limit",
                         "kernel/unprivileged_bpf_disabled", "kernel/perf_event_paranoid", "kernel/perf_event_max_stack", "kernel/kptr_restrict"):
                out[path] = int(open("/proc/sys/" + path).read())
            out["config"] = open("/boot/config-%s").read().splitlines()
            out["absent"] = [os.path.exists(p) for p in ("/proc/config.gz", "/sys/kernel/security/lockdown",
                                                         "/sys/bus/event_source/devices/uprobe")]
            out["types"] = [int(open("/sys/bus/event_source/devices/%%s/type" %% n).read()) for n in ("software", "tracepoint", "kprobe")]
        """ % RELEASE)
        self.assertGreater(out.pop("net/core/bpf_jit_limit"), 1 << 20)
        config = out.pop("config")
        for line in ("CONFIG_BPF=y", "CONFIG_BPF_SYSCALL=y", "CONFIG_DEBUG_INFO_BTF=y", "CONFIG_HAVE_EBPF_JIT=y", "# CONFIG_UPROBE_EVENTS is not set"):
            self.assertIn(line, config)
        self.assertEqual(out, {"net/core/bpf_jit_enable": 1, "net/core/bpf_jit_harden": 0, "net/core/bpf_jit_kallsyms": 0,
                               "kernel/unprivileged_bpf_disabled": 0, "kernel/perf_event_paranoid": -1, "kernel/perf_event_max_stack": 127,
                               "kernel/kptr_restrict": 0, "absent": [False] * 3, "types": [1, 2, 8]})

    def test_bpftool_reads_them(self):
        self.need("bpftool")
        found = json.loads(self.skep(["bpftool", "-j", "feature", "probe", "kernel"], ["--fake-root"]))
        self.assertEqual(found["system_config"]["CONFIG_BPF_SYSCALL"], "y")
        self.assertEqual(found["system_config"]["bpf_jit_enable"], 1)
        self.assertIsNone(found["system_config"]["CONFIG_UPROBE_EVENTS"])

    def test_mounts(self):
        """Each file system once where clients look, whatever the machine has; the rest as the machine says."""
        out = self.python("""
            for name in ("mounts", "self/mounts", "self/mountinfo"): out[name] = open("/proc/" + name).read().splitlines()
        """)
        with open("/proc/mounts") as f:
            real = f.read().splitlines()
        self.assertEqual(out["mounts"][: len(real)], real)
        self.assertEqual(out["mounts"], out["self/mounts"])
        last = {line.split()[1]: line.split()[2] for line in out["mounts"]}
        info = {line.split()[4]: line.split(" - ")[1].split()[0] for line in out["self/mountinfo"]}
        wanted = {"/sys/fs/bpf": "bpf", "/sys/kernel/tracing": "tracefs", "/sys/kernel/debug": "debugfs"}
        self.assertEqual({p: last.get(p) for p in wanted}, wanted)
        self.assertEqual({p: info.get(p) for p in wanted}, wanted)
        ids = [line.split()[0] for line in out["self/mountinfo"]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue({line.split()[1] for line in out["self/mountinfo"][len(real):]} <= set(ids))


class FakeRoot(FilesCase):
    IDS = """
        out["ids"] = [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *os.getresuid(), *os.getresgid()]
    """

    def test_told_and_not_made(self):
        path = os.path.join(self.home.dir, "made")
        out = self.python(self.IDS + """
        with open("%s", "w") as f: pass
        with open("/proc/self/status") as f: out["status"] = f.read()
        """ % path, ["--fake-root"])
        self.assertEqual(out["ids"], [0] * 10)
        user = self.home.user
        self.assertIn("Uid:\t%d\t%d\t%d\t%d\n" % ((user,) * 4), out["status"])
        self.assertEqual(os.stat(path).st_uid, user)
        if user != 0:
            self.skep(["touch", "/etc/skep-was-here"], ["--fake-root"], status=1)

    def test_only_where_it_is_asked_for(self):
        out = self.python(self.IDS)
        self.assertEqual(out["ids"][:2], [self.home.user] * 2)

    def test_goes_on_over_execve(self):
        self.assertEqual(self.skep(["env", "-i", find_program("id"), "-u"], ["--fake-root"]), "0\n")
        self.assertEqual(self.skep(["id", "-u"], env=dict(self.home.env, SKEP_FAKE_ROOT="1")), "0\n")
        self.assertEqual(self.skep(["sh", "-c", "id -u & wait"], ["--fake-root"]), "0\n")

    def test_becoming_root_and_another(self):
        out = self.python("""
            os.setuid(0); os.setgid(0); os.seteuid(0); os.setresuid(0, 0, 0); os.setregid(0, 0)
            out["root"] = os.geteuid()
            try: os.setuid(12345)
            except OSError as e: out["other"] = e.errno
            out["still"] = os.geteuid()
            os.setuid(%d)
            out["dropped"] = os.getuid()
            out["child"] = int(os.popen("id -u").read())
        """ % self.home.user, ["--fake-root"])
        if self.home.user == 0:
            self.skipTest("for real root these are real")
        self.assertEqual(out, {"root": 0, "other": 1, "still": 0, "dropped": self.home.user, "child": self.home.user})

    def test_capabilities(self):
        script = """
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            data = (ctypes.c_uint32 * 6)()
            out["rc"] = libc.capget(header, data)
            out["effective"], out["permitted"] = data[0] | data[3] << 32, data[1] | data[4] << 32
            out["put back"] = libc.capset(header, data)
            bad = (ctypes.c_uint32 * 2)(1, 0)
            out["bad"] = [libc.capget(bad, data), ctypes.get_errno()]
        """
        out = self.python(script, ["--fake-root"])
        self.assertEqual((out["rc"], out["put back"], out["bad"]), (0, 0, [-1, 22]))
        self.assertEqual(out["effective"], (1 << 41) - 1)
        self.assertEqual(out["permitted"], (1 << 41) - 1)
        if self.home.confined:
            self.assertEqual(self.python(script)["effective"] >> CAP_SYS_ADMIN & 1, 0)

    def test_programs_see_who_it_is(self):
        loader = Loader(self.home, PERF, "f")
        self.assertEqual(self.skep(["sh", "-c", "id -u; id -u"], ["--fake-root", "--session", "f"]), "0\n0\n")
        events = loader.fence()
        self.assertGreaterEqual(len([e for e in events if e.comm == "sh"]), 2, events)
        self.assertEqual({e.uid for e in events}, {self.home.user})
        loader.stop()

    def test_bpftrace_begins(self):
        self.need("bpftrace")
        out = self.skep(["bpftrace", "-e", 'BEGIN { printf("hello %d\\n", uid); exit(); }'], ["--fake-root"])
        self.assertIn("hello %d\n" % self.home.user, out)

    def test_bcc_finds_syscall_functions(self):
        self.need_headers()
        self.need_bcc()
        script = "from bcc import BPF; print(BPF(text='int f(void *c) { return 0; }').get_syscall_fnname('execve').decode())"
        self.assertEqual(self.skep([PYTHON, "-c", script], ["--fake-root"]), "__x64_sys_execve\n")


if __name__ == "__main__":
    main()
