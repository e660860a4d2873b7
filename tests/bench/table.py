#!/usr/bin/env python3
"""One table of what skep costs: beside native code, beside its own interpreter, beside this machine's Linux where bpf(2) answers.

One client of bpf(2) (bench_client) runs once a side. Sides are asked in turn, row by row and round by round, so that all meet the
same weather. Started by scripts/bench, which builds what this needs.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time

ROUNDS, INTERPRETER_ROUNDS = 5, 2
# Rows (a pattern from the start), and the most that skep may take, in parts of Linux's time.
AIMS = [
    (r"map/hash-\d+/1M/lookup$", 0.55),
    (r"map/hash-\d+/.*/lookup$", 0.45),
    (r"map/hash-\d+/.*/update$", 0.35),
    (r"client/.*/lookup$", 0.06),
    (r"ring/", 0.5),
    (r"perf/", 0.3),
    (r"load/", 0.5),
]
COMPUTE_AIM = 1.15
# ns a unit, where a row's title names another one.
SCALES = {"load": 1000}
TITLES = {
    "compute": "Programs that compute: ns a run",
    "map": "Maps in programs: ns an operation, on random keys",
    "client": "Maps from a client process: ns a call (batch: ns an element)",
    "ring": "Ring buffer: ns a record (1, 2: threads that produce; reader, epoll: one, beside a reader)",
    "perf": "Perf buffer with a watermark: ns a record",
    "load": "Loads: us for one BPF_PROG_LOAD and its close",
    "memory": "Memory: bytes an entry of a full hash map of 1M entries, 8-byte keys and values",
}


class Side:
    """A client, and where it runs."""

    def __init__(self, name, command, rounds):
        self.name, self.rounds = name, rounds
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, row):
        try:
            self.process.stdin.write(row + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"row": row, "wrong": f"the client ended: {self.process.poll()}"}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Cell:
    """What one side said of one row."""

    def __init__(self):
        self.answers = []

    def take(self, answer):
        self.answers.append(answer)

    def figures(self, name="ns"):
        """Of all rounds; times in the unit of the row's title."""
        scale = SCALES.get(self.answers[0]["row"].split("/", 1)[0], 1) if self.answers and name == "ns" else 1
        return [a[name] / scale for a in self.answers if name in a]

    def figure(self, name="ns"):
        return statistics.median(self.figures(name)) if self.figures(name) else math.nan

    def word(self, kind):
        return next((a[kind] for a in self.answers if kind in a), None)

    def spread(self):
        return f"{number(min(self.figures()))}..{number(max(self.figures()))}" if self.figures() else ""

    def as_json(self):
        return {"median": self.figure(), "answers": self.answers} if self.figures() else {"answers": self.answers}


def number(value):
    if math.isnan(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def ratio(a, b):
    return a / b if b > 0 and a > 0 else math.nan


def geomean(values):
    values = [v for v in values if not math.isnan(v)]
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else math.nan


def aim_of(row):
    return next((aim for pattern, aim in AIMS if re.match(pattern, row)), None)


class Table:
    def __init__(self, args, sides):
        self.args, self.sides = args, sides
        self.cells = {}  # (row, side) -> Cell
        self.wrong = []

    def cell(self, row, side):
        return self.cells.get((row, side), Cell())

    def measure(self, row, names):
        """Asks each side in turn. A side that leaves a row out is asked once."""
        for turn in range(ROUNDS if not self.args.quick else 1):
            for side in self.sides:
                if side.name not in names or turn >= side.rounds:
                    continue
                cell = self.cells.setdefault((row, side.name), Cell())
                if cell.word("skip") or cell.word("wrong"):
                    continue
                cell.take(side.ask(row))
                if cell.word("wrong"):
                    self.wrong.append(f"{side.name}: {row}: {cell.word('wrong')}")

    def measure_native(self, group, native):
        for variant in ("vector", "scalar"):
            cell = self.cells.setdefault((f"{group}/{variant}", "native"), Cell())
            cell.take(native.ask(f"{group}/{variant}"))

    def compute(self, groups, native):
        print(f"\n{TITLES['compute']}")
        print(f"{'':<18}{'native':>9}{'scalar':>9}{'skep':>9}{'interp':>9}{'Linux':>9}   {'/native':>7}{'/scalar':>8}{'/Linux':>8}"
              f"   skep's spread")
        ratios = {"native": [], "scalar": [], "Linux": [], "Linux/native": []}
        for group in groups:
            row = f"{group}/run"
            for _ in range(ROUNDS if not self.args.quick else 1):
                self.measure_native(group, native)
            self.measure(row, ("skep", "interp", "Linux"))
            vector = self.cell(f"{group}/vector", "native").figure()
            scalar = self.cell(f"{group}/scalar", "native").figure()
            skep, interp, linux = (self.cell(row, side) for side in ("skep", "interp", "Linux"))
            ratios["native"].append(ratio(skep.figure(), vector))
            ratios["scalar"].append(ratio(skep.figure(), scalar))
            ratios["Linux"].append(ratio(skep.figure(), linux.figure()))
            ratios["Linux/native"].append(ratio(linux.figure(), vector))
            figures = "".join(f"{number(v):>9}" for v in (vector, scalar, skep.figure(), interp.figure(), linux.figure()))
            print(f"{group.split('/')[1]:<18}{figures}   {number(ratios['native'][-1]):>7}{number(ratios['scalar'][-1]):>8}"
                  f"{number(ratios['Linux'][-1]):>8}   {skep.spread()}{self.remark(row)}", flush=True)
        means = {name: geomean(values) for name, values in ratios.items()}
        print(f"{'geometric mean':<63}   {number(means['native']):>7}{number(means['scalar']):>8}{number(means['Linux']):>8}"
              f"   Linux/native {number(means['Linux/native'])}")
        verdict = "met" if means["native"] <= COMPUTE_AIM else "missed"
        print(f"aim: skep/native at most {COMPUTE_AIM}: {verdict}" if not math.isnan(means["native"]) else "")

    def remark(self, row):
        words = []
        for side in self.sides:
            cell = self.cell(row, side.name)
            if cell.word("skip"):
                words.append(f"{side.name} left out: {cell.word('skip')}")
            if cell.word("wrong"):
                words.append(f"{side.name} WRONG: {cell.word('wrong')}")
            if cell.word("busy") and not cell.figures():
                words.append(f"{side.name}: the machine is too busy: {cell.word('busy')}")
            for kind, what in (("busy_calls", "answered -EBUSY"), ("errors", "refused")):
                if cell.figures(kind) and cell.figures(kind)[-1] > 0:
                    words.append(f"{side.name}: {cell.figures(kind)[-1]:.0f} operations {what}")
            lost = cell.figure("lost")
            if lost >= 0.001:
                words.append(f"{side.name} lost {100 * lost:.1f}%")
        return "  " + "; ".join(words) if words else ""

    def section(self, title, rows):
        print(f"\n{title}")
        print(f"{'':<34}{'skep':>9}{'interp':>9}{'Linux':>9}{'/Linux':>8}{'aim':>6}         {'skep':^16}{'Linux':^16}")
        parts = []
        for row in rows:
            self.measure(row, ("skep", "interp", "Linux"))
            skep, interp, linux = (self.cell(row, side) for side in ("skep", "interp", "Linux"))
            part, aim = ratio(skep.figure(), linux.figure()), aim_of(row)
            verdict = "" if aim is None or math.isnan(part) else "met" if part <= aim else "missed"
            figures = "".join(f"{number(c.figure()):>9}" for c in (skep, interp, linux))
            print(f"{row.split('/', 1)[1]:<34}{figures}{number(part):>8}{'' if aim is None else aim:>6} {verdict:<7} "
                  f"{skep.spread():^16}{linux.spread():^16}{self.remark(row)}".rstrip(), flush=True)
            parts.append(part)
        print(f"{'geometric mean':<61}{number(geomean(parts)):>8}")

    def as_json(self):
        rows = {}
        for (row, side), cell in self.cells.items():
            rows.setdefault(row, {})[side] = cell.as_json()
        return rows


class Starts:
    """Starts of programs and a system call, bare and under skep. `bench` says each as ns."""

    HELLO = """exec 3< <(exec "$0" --ready-fd 9 9>&1 >/dev/null)
        read -r -n 1 -t 20 -u 3 || exit 1
        "$@" || status=$?
        kill $! && wait $!
        exit ${status:-0}"""

    def __init__(self, args):
        self.bench, self.args = f"{args.build}/tests/bench/bench", args
        hello = f"{args.build}/examples/hello-buffer-config/hello-buffer-config"
        self.skep = [f"{args.build}/bin/skep", "run", "--"]
        self.beside = [*self.skep, "bash", "-c", self.HELLO, hello]
        self.rows = {}

    def run(self, pattern):
        each = "20" if self.args.quick else "100"
        rows = []
        for what, command in (("/bin/true", ["/bin/true"]), ("dash -c true", ["dash", "-c", "true"])):
            spawn = ["spawn", each, *command]
            rows += [(f"start to end of {what}", self.skep, spawn, spawn, 1000, "us"),
                     ("  a program attached to execve", self.beside, spawn, spawn, 1000, "us")]
        rows += [("getppid(), nothing attached", self.skep, ["getppid"], ["getppid"], 1, "ns"),
                 ("  a program attached to execve", self.beside, ["getppid"], ["getppid"], 1, "ns"),
                 ("  an empty program attached to getppid", self.skep, ["getppid"], ["getppid-probed"], 1, "ns")]
        rows = [r for r in rows if re.search(pattern, "start " + r[0])]
        if not rows:
            return
        print(f"\n{'What every process of a session pays':<46} {'bare':>10} {'under skep':>12} {'added':>11}")
        for what, where, bare, under, scale, unit in rows:
            self.row(what, [self.bench, *bare], [*where, self.bench, *under], scale, unit)

    def row(self, what, bare, under, scale, unit):
        figures = [[], []]
        for _ in range(1 if self.args.quick else ROUNDS):
            for out, command in zip(figures, (bare, under)):
                out.append(float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) / scale)
        self.rows[what.strip()] = {"bare": figures[0], "skep": figures[1]}
        a, b = (statistics.median(f) for f in figures)
        print(f"{what:<46} {a:>7.0f} {unit} {b:>9.0f} {unit} {b - a:>+8.0f} {unit}", flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = next((line.split(": ", 1)[1].strip() for line in f if line.startswith("model name")), "?")
    with open("/proc/loadavg", encoding="utf-8") as f:
        load = f.read().split()[0]
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return {"date": date, "cpu": cpu, "cpus": os.cpu_count(), "kernel": os.uname().release, "load": load}


def accepts(command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def start_sides(args):
    client = [f"{args.build}/tests/bench/bench_client"] + (["--quick"] if args.quick else [])
    skep = f"{args.build}/bin/skep"
    serve = [*client, "serve"]
    sides = [Side("skep", [skep, "run", "--", *serve], ROUNDS)]
    if accepts([skep, "run", "--no-jit", "--", "true"]):
        sides.append(Side("interp", [skep, "run", "--no-jit", "--", *serve], INTERPRETER_ROUNDS))
    else:
        print("no `skep run --no-jit` here: the column of the interpreter stays empty")
    if "skip" not in Side("Linux", serve, 1).ask("compute/adler32/run"):
        sides.append(Side("Linux", serve, ROUNDS))
    else:
        print("bpf(2) of this machine does not answer us: the column of Linux stays empty")
    return sides, Side("native", serve, ROUNDS), client


def parse(argv):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("filter", nargs="?", default="", help="only rows in which this regular expression is found")
    parser.add_argument("--quick", action="store_true", help="one short round, no maps of 1M entries: to see that all works")
    parser.add_argument("--json", metavar="FILE", help="write all figures there as well")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def run_tables(args, table, native, client):
    rows = subprocess.run([*client, "list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    rows = [r for r in rows if re.search(args.filter, r) and not (args.quick and "/1M" in r)]
    groups = list(dict.fromkeys(r.rsplit("/", 1)[0] for r in rows if r.startswith("compute/")))
    if groups:
        table.compute(groups, native)
    for kind, title in TITLES.items():
        chosen = [r for r in rows if r.startswith(kind + "/")]
        if chosen and kind != "compute":
            table.section(title, chosen)


def main(argv):
    args = parse(argv)
    facts = machine()
    print(f"{facts['date']}, {facts['cpus']} x {facts['cpu']}, Linux {facts['kernel']}, load {facts['load']}; medians of "
          f"{1 if args.quick else ROUNDS} rounds, spread: least..most")
    sides, native, client = start_sides(args)
    table, starts = Table(args, sides), Starts(args)
    run_tables(args, table, native, client)
    for side in [*sides, native]:
        side.end()
    starts.run(args.filter)
    if re.search(args.filter, "verify") and not args.quick:
        print()
        sys.stdout.flush()
        subprocess.run([f"{args.build}/tests/bench/verify_bench"], check=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": facts, "rows": table.as_json(), "starts": starts.rows}, f, indent=1)
    for line in table.wrong:
        print(f"WRONG RESULT: {line}", file=sys.stderr)
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
