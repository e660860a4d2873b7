"""One way of executing /bin/true, by name; prints the pid of the process that did when it is another than this one."""
import os
import signal
import subprocess
import sys
import threading

ARGV = ["/bin/true"]


def child(**options):
    process = subprocess.Popen(ARGV, **options)
    print(process.pid, flush=True)
    process.wait()


def posix_spawn():
    pid = os.posix_spawn(ARGV[0], ARGV, os.environ)
    print(pid, flush=True)
    os.waitpid(pid, 0)


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def exec_here():
    os.execv(ARGV[0], ARGV)


def exec_with_signals_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    exec_here()


WAYS = {
    "posix_spawn": posix_spawn,
    "subprocess-close-fds": lambda: child(close_fds=True),
    "subprocess-in-thread": lambda: in_thread(child),
    "exec-in-thread": lambda: in_thread(exec_here),
    "exec-signals-blocked": exec_with_signals_blocked,
}
WAYS[sys.argv[1]]()
