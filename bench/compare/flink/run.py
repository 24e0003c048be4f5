#!/usr/bin/env python3
"""Runs Pelton and Apache Flink in turns on the same trades, each in a process of its own on one core.

    run.py --engines ENGINES [--events N] [--keys N,N] [--rounds N] [--durable] [--out FILE.json]

ENGINES is the binary of bench/compare/engines. Flink's jars come from the package index into --cache. Where Java or
the package is missing, that is said, and the exit code is 0. The rows of a run that are not Pelton's make it wrong,
and it gets no figures. A time is that from the first trade read to the last row: neither starting the process nor,
with Flink, starting the cluster, planning, and a first job that warms the machine up are in it; what the whole process
took is in the remark.

With --durable both take checkpoints, Flink incremental ones of RocksDB each second, and Pelton ten times as often, since
it would have ended before the first. All trades are in one window, so the state has all keys until the end.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

FLINK = "2.3.0"
EVENT_BYTES = 32
HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "pelton-bench-flink"
# What Flink's own scripts open on Java 17, as far as these jobs need it.
OPENED = ["java.util", "java.lang", "java.time"]
WAYS = {
    "flink, chained": ("chained", "DataStream, reinterpretAsKeyedStream: no exchange, one thread"),
    "flink, keyBy": ("keyBy", "DataStream, keyBy: an exchange between two threads on the core"),
    "flink, sql": ("sql", "TUMBLE table function"),
}


class Missing(Exception):
    """Something that is not on this machine and cannot be had."""


def main():
    options = parsed()
    try:
        java = found("java")
        classes = compiled(options.cache)
    except Missing as missing:
        print(f"skipped: {missing}")
        return 0
    machine = json.loads(output([options.engines, "machine"]))
    standings = []
    with tempfile.TemporaryDirectory(prefix="pelton-flink-", dir=options.dir) as made:
        for keys in options.keys:
            standings.append(contest(options, java, classes, Path(made), keys))
            print(table(standings[-1]), flush=True)
            if options.out:
                options.out.write_text(json.dumps({"machine": machine, "contests": standings}))
    return 0


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", required=True, help="the binary of bench/compare/engines")
    parser.add_argument("--events", type=int, default=1 << 23, help="trades of a run")
    parser.add_argument("--warm", type=int, default=2_000_000, help="trades of Flink's first job, which is not timed")
    parser.add_argument("--keys", type=lambda text: [int(keys) for keys in text.split(",")], default=[100, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--durable", action="store_true", help="with checkpoints")
    parser.add_argument("--watermark", type=int, default=100_000, help="trades between two of Flink's watermarks")
    parser.add_argument("--heap", default="2g", help="memory of the Java machine")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core that all runs use")
    parser.add_argument("--ways", type=lambda text: text.split(","), default=[way for way, _ in WAYS.values()])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--dir", default=None, help="where captures are made, and removed again")
    parser.add_argument("--out", type=Path, help="the results file")
    options = parser.parse_args()
    if options.rounds < 1 or options.events < 1 or min(options.keys) < 1:
        parser.error("rounds, events and keys must be at least 1")
    known = {way for way, _ in WAYS.values()}
    if not set(options.ways) <= known:
        parser.error(f"ways are {', '.join(sorted(known))}")
    return options


def found(program):
    path = shutil.which(program)
    if path is None:
        raise Missing(f"no {program} on this machine")
    return path


def compiled(cache):
    """The class path: Flink's jars, and the job compiled against them."""
    javac = found("javac")
    jars = jars_of(cache)
    classes = cache / f"classes-{FLINK}"
    sources = sorted(HERE.glob("*.java"))
    shutil.rmtree(classes, ignore_errors=True)
    classes.mkdir(parents=True)
    done = subprocess.run([javac, "-cp", f"{jars}/*", "-d", classes, *sources], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the job does not compile:\n{done.stderr}")
    return f"{classes}:{jars}/*"


def jars_of(cache):
    """The directory of Flink's jars, installed into an environment in the cache on first use."""
    home = cache / f"venv-{FLINK}"

    def installed():
        return next(home.glob("lib/python*/site-packages/pyflink/lib"), None)

    if installed() is None:
        print(f"installing apache-flink {FLINK} into {home}", file=sys.stderr)
        try:
            venv.create(home, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"no Python environment can be made: {error}") from error
        # Only the jars: the package itself would bring Python's half of Flink, which is not used.
        packages = [f"apache-flink-libraries=={FLINK}"]
        command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise Missing(f"the package apache-flink-libraries cannot be had: {reason[0]}")
    jars = installed()
    if jars is None or not any(jars.glob("flink-dist-*.jar")):
        raise Missing("the package apache-flink-libraries has no jars where they are expected")
    return jars


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def contest(options, java, classes, made, keys):
    capture, raw = made / f"{keys}.pelton", made / f"{keys}.raw"
    output([options.engines, "generate", capture, "--events", str(options.events), "--keys", str(keys)])
    output([options.engines, "export", capture, raw])
    pinned = ["taskset", "-c", str(options.cpu)] if shutil.which("taskset") else []
    jvm = [java, "-XX:+UseSerialGC", f"-Xms{options.heap}", f"-Xmx{options.heap}", "-cp", classes]
    jvm += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    jobs = {"pelton, 1 worker": ([*pinned, options.engines, "once", capture], "")}
    for name, (way, remark) in WAYS.items():
        if way in options.ways:
            arguments = ["WindowJob", way, raw, str(options.watermark), str(options.warm)]
            jobs[name] = ([*pinned, *jvm, *arguments], f"{remark}; Flink {FLINK}, parallelism 1, object reuse")
    if options.durable:
        jobs = durable_jobs(options, pinned, jvm, capture, raw, made)
    rivals = [{"name": name, "remark": remark, "wrong": None, "runs_ns": []} for name, (_, remark) in jobs.items()]
    totals = {name: [] for name in jobs}
    expected = None
    # The first round brings the trades into memory.
    for round_number in range(options.rounds + 1):
        for rival in rivals:
            name = rival["name"]
            if rival["wrong"] is not None:
                continue
            start = time.monotonic()
            outcome, failure = run(jobs[name][0])
            total = time.monotonic() - start
            if failure is None:
                seen = {what: outcome[what] for what in ("rows", "trades", "hash")}
                expected = expected or seen
                failure = None if seen == expected else f"expected {expected}, found {seen}"
            if failure is not None:
                rival["wrong"], rival["runs_ns"] = failure, []
                print(f"{name}: WRONG: {failure}", file=sys.stderr)
                continue
            print(f"{keys} keys, {name}, round {round_number}: {outcome['elapsed_ns'] / 1e9:.3f} s", file=sys.stderr)
            if round_number > 0:
                rival["runs_ns"].append(outcome["elapsed_ns"])
                totals[name].append(total)
    for rival in rivals:
        if totals[rival["name"]]:
            whole = f"whole process {statistics.median(totals[rival['name']]):.1f} s"
            rival["remark"] = "; ".join(filter(None, [rival["remark"], whole]))
    on = "one core" if pinned else "all cores, as there is no taskset"
    with_checkpoints = " with checkpoints" if options.durable else ""
    work = f"keyed window{with_checkpoints}, {keys} keys, a process each, {on}"
    return {"work": work, "events": options.events, "event_bytes": EVENT_BYTES, "rivals": rivals}


# All trades are in a window of so many milliseconds.
DURABLE_WINDOW_MS = 3_600_000


def durable_jobs(options, pinned, jvm, capture, raw, made):
    """The jobs with checkpoints. Each run has a directory of its own, whose name comes behind its arguments."""
    script = 'state="$(mktemp -d "$0/state.XXXXXX")"; "$@" "$state"; code=$?; rm -rf "$state"; exit $code'
    in_directory = ["sh", "-c", script, made]
    pelton = [*pinned, options.engines, "once", capture, "--window-ns", str(DURABLE_WINDOW_MS * 1_000_000)]
    flink = [*pinned, *jvm, "WindowJob", "keyBy", raw, str(options.watermark), str(options.warm)]
    flink += ["1000", str(DURABLE_WINDOW_MS)]
    return {
        "pelton, checkpoints": (
            [*in_directory, *pelton, "--checkpoint-ms", "100", "--state"],
            "a checkpoint each 100 ms, 1 worker",
        ),
        "pelton": (pelton, "without checkpoints, 1 worker"),
        "flink, checkpoints": (
            [*in_directory, *flink],
            f"RocksDB, an incremental checkpoint each second, keyBy; Flink {FLINK}, parallelism 1, object reuse",
        ),
    }


def run(command):
    """The outcome of one process, or why there is none."""
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return None, reason[0]
    try:
        return json.loads(lines[-1]), None
    except json.JSONDecodeError:
        return None, f"not an outcome: {lines[-1]}"


def table(standing):
    """The standing as lines; the ratio is the median over the rounds of the ratio to the first rival's run."""
    events, rivals = standing["events"], standing["rivals"]
    lines = [f"{standing['work']}: {events} events of {standing['event_bytes']} bytes"]
    lines.append(f"{'rival':20}{'M events/s':>26}{'ns/event':>10}{'GB/s':>7}{'ratio':>9}")
    for rival in rivals:
        runs, remark = rival["runs_ns"], f"  ({rival['remark']})" if rival["remark"] else ""
        if rival["wrong"] is not None:
            lines.append(f"{rival['name']:20}WRONG: {rival['wrong']}{remark}")
            continue
        median = statistics.median(runs)
        rates = [events * 1e3 / ns for ns in (median, max(runs), min(runs))]
        spread = f"{rates[0]:.2f} ({rates[1]:.2f}..{rates[2]:.2f})"
        gigabytes = rates[0] * standing["event_bytes"] / 1e3
        ratios = [first / own for first, own in zip(rivals[0]["runs_ns"], runs)]
        ratio = f"{statistics.median(ratios):.4f}" if ratios else "-"
        lines.append(f"{rival['name']:20}{spread:>26}{median / events:>10.2f}{gigabytes:>7.2f}{ratio:>9}{remark}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
