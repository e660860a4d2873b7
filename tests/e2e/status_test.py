"""The command line: exit status, signals, standard streams, and one clear line for each mistake."""
import os
import re
import signal
import subprocess

from skep_e2e import IS_ROOT, PATIENCE, SKEP, Case, await_state, main, read_line


class Status(Case):
    def test_the_commands_own(self):
        for n in (0, 1, 2, 7, 42, 124, 125, 126, 127, 128, 200, 255):
            with self.subTest(status=n):
                self.home.run(["sh", "-c", "exit %d" % n]).expect(self, n, "", "")

    def test_of_signals(self):
        for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV,
                    signal.SIGPIPE, signal.SIGTERM):
            with self.subTest(signal=sig):
                self.home.run(["sh", "-c", "ulimit -c 0; kill -%d $$" % sig]).expect(self, 128 + sig, "", "")

    def test_arguments_and_options_of_the_command_are_its_own(self):
        self.home.run(["printf", "%s|", "--session", "", "-h", "a b", "--"]).expect(self, 0, "--session||-h|a b|--|", "")
        self.home.run(["printf", "%s\n", "--version"]).expect(self, 0, "--version\n", "")

    def test_streams_are_untouched(self):
        data = bytes(range(256)) * 5000
        process = self.home.start(["sh", "-c", "cat; echo err >&2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        out, err = process.communicate(data, timeout=60)
        self.assertEqual((process.returncode, out == data, err), (0, True, b"err\n"))

    def test_closed_streams_stay_closed(self):
        argv = self.home.skep_argv(["sh", "-c", "[ -e /proc/self/fd/0 ] || [ -e /proc/self/fd/1 ] || exit 9"])
        r = self.home.run_plain(["sh", "-c", 'exec "$@" <&- >&-', "sh", *argv])
        self.assertEqual(r.status, 9, r)

    def test_environment_and_directory(self):
        env = dict(self.home.env, SKEP_E2E="a b=c\nd")
        r = self.home.run(["sh", "-c", 'printf "%s|%s" "$SKEP_E2E" "$PWD"'], env=env, cwd="/usr")
        r.expect(self, 0, "a b=c\nd|/usr", "")


class Signals(Case):
    def start_trap(self, *signals):
        traps = "".join("trap 'echo got %s; exit 3' %s; " % (s, s) for s in signals)
        script = traps + "echo up; while :; do read line || :; done"
        process = self.home.start(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(read_line(process.stdout), "up\n")
        return process

    def test_forwarded(self):
        for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"):
            with self.subTest(signal=name):
                process = self.start_trap(name)
                process.send_signal(getattr(signal, "SIG" + name))
                self.assertEqual(read_line(process.stdout), "got %s\n" % name)
                self.assertEqual(process.wait(timeout=PATIENCE), 3)

    def test_forwarded_and_deadly(self):
        process = self.home.start(["sh", "-c", "echo up; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(read_line(process.stdout), "up\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=PATIENCE), 128 + signal.SIGTERM)

    def test_ignored_stays_ignored(self):
        """As under nohup."""
        r = self.home.run_plain(["sh", "-c", "trap '' HUP USR1; exec \"$@\"", "sh",
                                 *self.home.skep_argv(["sh", "-c", "kill -HUP $$; kill -USR1 $$; echo alive"])])
        r.expect(self, 0, "alive\n", "")

    def test_stop_and_continue(self):
        """A stopped command does not end `skep run`, and goes on."""
        process = self.home.start(["sh", "-c", "echo $$; kill -STOP $$; echo on; exit 4"], stdout=subprocess.PIPE)
        pid = int(read_line(process.stdout))

        def stopped():
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "T"
        await_state("the command to stop", stopped)
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(read_line(process.stdout), "on\n")
        self.assertEqual(process.wait(timeout=PATIENCE), 4)


class Mistakes(Case):
    def one_line(self, argv, status, pattern):
        r = self.home.run_plain(self.home.prefix() + argv)
        self.assertEqual((r.status, r.out), (status, ""), r)
        self.assertRegex(r.err, r"^skep: [^\n]*\n$")
        self.assertRegex(r.err, pattern)
        # Whatever went wrong, nothing stays.
        self.home.await_nothing_left()
        return r

    def test_missing_command(self):
        self.one_line([SKEP, "run", "--", "no-such-command-anywhere"], 127, "no-such-command-anywhere.*not found")
        self.one_line([SKEP, "run", "--", "/no/such/command"], 127, "/no/such/command.*No such file")

    def test_directory_as_command(self):
        self.one_line([SKEP, "run", "--", "/usr"], 126, "/usr")

    def test_not_executable(self):
        path = os.path.join(self.home.top, "data")
        with open(path, "w") as f:
            f.write("#!/bin/sh\necho no\n")
        os.chmod(path, 0o644)
        self.one_line([SKEP, "run", "--", path], 126, "data.*Permission denied")

    def test_not_a_program(self):
        """execvp hands a file without a header to sh, as any shell does."""
        path = os.path.join(self.home.top, "script")
        with open(path, "w") as f:
            f.write("echo from sh\nexit 6\n")
        os.chmod(path, 0o755)
        self.home.run([path]).expect(self, 6, "from sh\n", "")

    def test_missing_interpreter(self):
        path = os.path.join(self.home.top, "script")
        with open(path, "w") as f:
            f.write("#!/no/such/interpreter\n")
        os.chmod(path, 0o755)
        self.one_line([SKEP, "run", "--", path], 127, "script.*No such file")

    def test_options(self):
        for argv in ([], ["run"], ["run", "--"], ["run", "--no-such-option", "--", "true"], ["no-such-subcommand"], ["--no-such-option"],
                     ["counts"], ["run", "--session"], ["run", "--session", "a/b", "--", "true"],
                     ["run", "--session", "x" * 100, "--", "true"], ["run", "--session", "", "--", ""]):
            with self.subTest(argv=argv):
                status = 127 if argv[-1:] == [""] else 125
                self.one_line([SKEP, *argv], status, "^skep: ")

    def test_unknown_session(self):
        self.one_line([SKEP, "counts", "--session", "nobody"], 1, "nobody")
        r = self.home.run_plain([SKEP, "doctor", "--session", "nobody"])
        self.assertEqual((r.status, r.err.count("\n")), (1, 1), r)
        self.assertRegex(r.err, "^skep: .*nobody")

    def test_help_and_version(self):
        for argv in (["--help"], ["run", "--help"], ["doctor", "--help"]):
            r = self.home.run_plain([SKEP, *argv])
            self.assertEqual((r.status, r.err), (0, ""), r)
            self.assertIn("--help", r.out)
        r = self.home.run_plain([SKEP, "--version"])
        self.assertTrue(r.status == 0 and re.fullmatch(r"skep \d+\.\d+\.\d+\n", r.out), r)

    def test_doctor(self):
        r = self.home.run_plain(self.home.prefix() + [SKEP, "doctor"])
        self.assertEqual((r.status, r.err), (0, ""), r)
        for word in ("processor", "kernel", "agent", "session window", "libc", "no session is running"):
            self.assertIn(word, r.out)

    def runtime(self, path, pattern):
        r = self.home.run_plain(self.home.prefix() + [SKEP, "run", "--", "true"], env=dict(self.home.env, SKEP_RUNTIME_DIR=path))
        self.assertEqual((r.status, r.out), (125, ""), r)
        self.assertRegex(r.err, r"^skep: [^\n]*\n$")
        self.assertRegex(r.err, pattern)

    def test_unwritable_runtime_directory(self):
        if self.home.user == 0:
            self.skipTest("root may write anywhere")
        self.runtime("/proc/skep", "/proc/skep")
        self.runtime("/usr/share", "/usr/share")
        blocked = os.path.join(self.home.top, "readonly")
        os.mkdir(blocked)
        if IS_ROOT:
            os.chown(blocked, self.home.user, -1)
        os.chmod(blocked, 0o500)
        self.runtime(os.path.join(blocked, "run"), "Permission denied")

    def test_runtime_directory_that_is_a_file(self):
        path = os.path.join(self.home.top, "file")
        with open(path, "w"):
            pass
        self.runtime(path, "file")

    def test_runtime_directory_with_a_long_name(self):
        self.runtime(os.path.join(self.home.top, "x" * 100), "too long")

    def test_runtime_directory_of_somebody_else(self):
        path = os.path.join(self.home.top, "theirs")
        os.mkdir(path)
        os.chmod(path, 0o777)
        if IS_ROOT:
            os.chown(path, 1, 1)
        else:
            path = "/tmp"  # root's
        self.runtime(path, "belongs to uid")


class Nested(Case):
    def test_skep_in_skep(self):
        """A session inside a session: the inner command is the inner session's."""
        r = self.home.run(["sh", "-c", "%s run -- sh -c 'echo in; exit 8'; echo $?" % SKEP])
        r.expect(self, 0, "in\n8\n", "")
        self.home.await_nothing_left()


class Root(Case):
    """Root without the launcher: other users may be what a session's processes become."""
    confined = False

    def test_a_user_in_roots_session(self):
        self.need_root("become another user")
        self.need("setpriv")
        self.need("bpftool")
        r = self.home.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bpftool", "-j", "map", "list"])
        r.expect(self, 0, "[]\n", "")


if __name__ == "__main__":
    main()
