"""System calls that ld.so makes in a process that runs: dlopen, dlclose."""
import os
import shutil

from skep_e2e import TOOLS, Case, main, tool

OBJECT, LIBRARY = os.path.join(TOOLS, "dlopen.bpf.o"), os.path.join(TOOLS, "libdlopen_lib.so")
# The text of ld.so is where the kernel put it, and is not its file's any more.
TEXT_OF_LOADER = """
base=$(od -An -tu8 -w16 /proc/self/auxv | awk '$1 == 7 {print $2}')
awk '$2 ~ /x/ && $6 !~ /libskep/ {print $6}' /proc/self/maps | sort | uniq -c
"""


class Dlopen(Case):
    def test_each_call_is_seen_once(self):
        self.home.run([tool("dlopen_client"), OBJECT, LIBRARY], timeout=120).expect(self, 0, "", "")

    def test_doctor_has_nothing_to_say(self):
        self.home.run(["sh", "-c", "true"], "d").expect(self, 0, "", "")


if __name__ == "__main__":
    main()
