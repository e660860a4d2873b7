#!/usr/bin/env python3
"""Judges what scripts/verifier-report has collected.

  report.py DIR            reads DIR/KERNEL.PART (KERNEL: skep, linux; PART: logs, verdicts, annotated, cases) and DIR/skep.strace;
                           prints the report; exit status 0 when skep holds the thresholds
  report.py --known DIR KERNEL     prints what of KERNEL is not as the tests expect, in the form of known-*.tsv

The lists known-*.tsv beside this file tell where a real kernel itself is not as the tests expect; a failure of skep's that Linux 6.12
shares is no failure.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
CLASSES = {
    "accepted": "WRONGLY ACCEPTED",
    "refused": "wrongly refused",
    "retval": "retval differs",
    "log": "log differs",
    "setup": "could not be set up",
    "crash": "did not run to the end",
}
PARTS = {
    "verdicts": "test_verifier, verdicts and return values",
    "logs": "test_verifier, with logs and instruction counts",
    "annotated": "annotated programs",
    "cases": "our text cases",
}
TEST_VERIFIER_CASES = 526
AT_LEAST = {"verdicts": 505, "logs": 450}

# What test_verifier says of a case, most telling first. A map that is not there makes any refusal worthless.
SAYINGS = [
    ("setup", r"Failed to (create|load BTF|find BTF ID)[^\n]*"),
    ("accepted", r"Unexpected success to load"),
    ("refused", r"Failed to load prog '[^']*'"),
    ("log", r"Unexpected error message!\n\s*EXP: [^\n]*|Unexpected verifier log!\s*EXP: [^\n]*|Unexpected insn_processed [^\n]*"),
    ("log", r"FAIL: (can't|found)[^\n]*"),
    ("retval", r"FAIL: Unexpected bpf_prog_test_run error \([^)]*\)|FAIL retval -?\d+ != -?\d+"),
]


def parse_test_verifier(text):
    """{"#5": (class or "ok", detail)} of the privileged cases."""
    out = {}
    for chunk in re.split(r"(?m)^(?=#\d+/[pu] )", text):
        head = re.match(r"#(\d+)/p ([^\n]*)", chunk)
        if not head:
            continue
        number, line = "#" + head[1], head[2]
        if re.search(r"SKIP( \([^)]*\))?$", line):
            out[number] = ("setup", line)
            continue
        found = [(kind, m[0]) for kind, pattern in SAYINGS if (m := re.search(pattern, chunk))]
        failed = "FAIL" in chunk.replace("EXIT_FAIL", "")
        if found and (failed or found[0][0] == "setup"):
            out[number] = (found[0][0], f"{re.sub(r' FAIL.*| *Failed to .*', '', line)}: {' '.join(found[0][1].split())}")
        elif re.search(r"\bOK( \(NOTE[^)]*\))?$", line):
            out[number] = ("ok", line)
        else:
            out[number] = ("crash", line)
    for index in range(TEST_VERIFIER_CASES):
        out.setdefault(f"#{index}", ("crash", "not reached"))
    return out


def parse_annotated(text):
    out = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 5 or fields[0] == "skip":
            continue
        kind, obj, program, error, detail = fields
        out[f"{obj}/{program}"] = (kind, detail + (f" (errno {error})" if kind == "refused" else ""))
    return out


def parse_cases(text):
    out = {}
    for chunk in re.split(r"(?m)^(?=\[ RUN      \] )", text):
        run = re.match(r"\[ RUN      \] (\S+)", chunk)
        if not run:
            continue
        verdict = re.search(r"(?m)^\[ *(OK|FAILED|SKIPPED) *\] " + re.escape(run[1]), chunk)
        kind = "crash" if not verdict else {"OK": "ok", "SKIPPED": "skip"}.get(verdict[1], "log")
        detail = ""
        if kind == "log":
            detail = " ".join(re.findall(r"(?m)^Failed\n(.*)", chunk)[:1])
            for word, other in (("WRONGLY ACCEPTED", "accepted"), ("instead of accepted", "refused"), ("could not be set up", "setup"),
                                ("a run returns", "retval")):
                if word in chunk:
                    kind = other
                    break
        if kind != "skip":
            out[run[1]] = (kind, detail)
    return out


PARSERS = {"verdicts": parse_test_verifier, "logs": parse_test_verifier, "annotated": parse_annotated, "cases": parse_cases}


def results(directory, kernel, part):
    path = directory / f"{kernel}.{part}"
    return PARSERS[part](path.read_text(errors="replace")) if path.exists() else None


def known(kernel):
    """{(part, name): class} of the list of a kernel."""
    path = HERE / f"known-{kernel}.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {(row[0], row[1]): row[2] for row in rows}


def print_part(part, of_skep, of_linux, known_612):
    """Prints; returns how many pass and the names of what is wrongly accepted, without what Linux 6.12 accepts as well."""
    passed = sum(kind == "ok" for kind, _ in of_skep.values())
    beside = f"; this machine's Linux {sum(k == 'ok' for k, _ in of_linux.values())} of {len(of_linux)}" if of_linux else ""
    least = f" (at least {AT_LEAST[part]})" if part in AT_LEAST else ""
    print(f"\n== {PARTS[part]}: {passed} of {len(of_skep)} as expected{least}, {len(of_skep) - passed} not{beside}")
    wrongly = []
    for kind, title in CLASSES.items():
        mine = {name: detail for name, (k, detail) in of_skep.items() if k == kind}
        if not mine:
            continue
        print(f"-- {title}: {len(mine)}")
        for name, detail in mine.items():
            notes = []
            if known_612.get((part, name)) == kind:
                notes.append("as Linux 6.12")
            elif kind == "accepted":
                wrongly.append(name)
            if of_linux and name in of_linux and of_linux[name][0] != "ok":
                notes.append(f"this Linux: {of_linux[name][0]}")
            print(f"   {name}  {detail[:160]}" + (f"  [{', '.join(notes)}]" if notes else ""))
    return passed, wrongly


def check_strace(directory):
    """Problems of the traced part of the run."""
    path, log = directory / "skep.strace", directory / "skep.traced"
    if not path.exists():
        return ["the part under strace did not run"]
    real = re.findall(r"(?m)^.*\bbpf\((?!.*<detached).*$", path.read_text(errors="replace"))
    traced = log.read_text(errors="replace") if log.exists() else ""
    cases = len(re.findall(r"(?m)^#\d+/p ", traced))
    print(f"\n== bpf(2) calls that reach the real kernel in {cases} cases under strace: {len(real)}")
    for line in real[:10]:
        print("   " + line)
    return (["real bpf(2) calls"] if real else []) + ([] if cases else ["no case ran under strace"])


def report(directory):
    known_612 = known("linux-6.12")
    problems = []
    for part in PARTS:
        of_skep = results(directory, "skep", part)
        if not of_skep:
            problems.append(f"{PARTS[part]}: nothing ran")
            continue
        passed, wrongly = print_part(part, of_skep, results(directory, "linux", part), known_612)
        if passed < AT_LEAST.get(part, 0):
            problems.append(f"{PARTS[part]}: {passed} is below {AT_LEAST[part]}")
        if wrongly:
            problems.append(f"{PARTS[part]}: {len(wrongly)} wrongly accepted")
    problems += check_strace(directory)
    print("\n== " + ("all thresholds hold" if not problems else "thresholds that do not hold"))
    for problem in problems:
        print("   " + problem)
    return 1 if problems else 0


def print_known(directory, kernel):
    for part in PARTS:
        for name, (kind, detail) in (results(directory, kernel, part) or {}).items():
            if kind != "ok":
                print(f"{part}\t{name}\t{kind}\t{detail[:140]}")
    return 0


def main(arguments):
    if arguments[:1] == ["--known"] and len(arguments) == 3:
        return print_known(pathlib.Path(arguments[1]), arguments[2])
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    return report(pathlib.Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
