#!/usr/bin/env python3
"""Compares windows with triggers and allowed lateness with Apache Flink's, on random small jobs.

    windows.py --windows WINDOWS [--jobs N] [--seed N] [--workers N]

WINDOWS is the binary of bench/compare/flink/windows. Each job runs in both, with the same rows and with a watermark
that is told behind each row: parallelism 1, all jobs of Flink in one cluster. Compared are what each window gives for
each key, behind which row or watermark it comes, the order by time of firing, and which rows are late. What fires at
one time, or is caused by one row, comes in an order that Flink does not promise, so it is compared as a multiset.

Where the two differ, a model that keeps every row has to say why. It has our meaning, and Flink's where a rule in RULES
says so: with some of these rules it must give Flink's rows exactly, and without any of them ours. A job for which
there are no such rules is a failure. Where Java or Flink is missing, that is said, and the exit code is 0.

Lines of the file of jobs, whose words are parted by a space, with times in Flink's milliseconds and our nanoseconds:

    job NUMBER KIND SIZE|GAP|ROWS SLIDE OFFSET TRIGGER PERIOD|ROWS PURGES LATENESS ENDS
    row TIME KEY VALUE GAP WATERMARK

Lines that the two print, where CAUSE counts rows and their watermarks, and in Pelton's lines rows alone:

    fired CAUSE TIME START END KEY ROWS SUM
    late CAUSE ROW
"""

import argparse
import collections
import itertools
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import run

END = (1 << 63) - 1
START = -(1 << 63)

# Where Flink's meaning is another one than ours.
RULES = {
    "stamp": "what windows without an end give has in Flink the end of all time, in Pelton the time of what has it fire",
    "end": "at the end of the input Flink fires global windows by time; Pelton's have no last nanosecond",
    "no end": "global windows with a period fire in Flink up to the end of all time, so its job is run without an end",
    "past": "the first firing at a period follows a window's first row in Flink, also where the watermark has passed it",
    "on": "the next firing at a period is in Flink a period behind the last, which may have been at a session's old end",
    "kept": "in Flink a session that has fired on time and grows keeps its last firing at a period as its next one",
    "same": "a row whose own gap spans exactly the session that earlier rows have become makes Flink forget those rows",
}


@dataclass
class Job:
    kind: str
    first: int
    second: int
    offset: int
    trigger: str
    every: int
    purges: bool
    lateness: int
    rows: list = field(default_factory=list)

    @property
    def is_endless(self):
        return self.kind in ("global", "count")

    @property
    def ends(self):
        """Whether Flink's job sees the end of its input."""
        return not (self.kind == "global" and self.trigger == "every")

    def lines(self, number):
        head = [number, self.kind, self.first, self.second, self.offset, self.trigger, self.every]
        yield "job", *head, int(self.purges), self.lateness, int(self.ends)
        for row in self.rows:
            yield "row", *row

    def rules(self):
        """The rules that may matter."""
        if self.is_endless:
            yield "stamp"
        if self.kind == "global" and self.trigger == "early":
            yield "end"
        if not self.ends:
            yield "no end"
        if self.trigger == "every":
            yield "past"
            if self.kind.startswith("session"):
                yield from ("on", "kept")
        if self.kind == "session-by-row":
            yield "same"


def random_job(rng):
    kind = rng.choice(["tumbling", "sliding", "session", "session-by-row", "count", "global"])
    first, second = rng.randint(2, 30), rng.randint(1, 30)
    if kind == "sliding":
        first, second = max(first, second), min(first, second)
        second = max(second, first // 6 + 1)
    if kind == "count":
        first, second = rng.randint(1, 6), rng.randint(1, 6)
        first, second = max(first, second), min(first, second)
        if rng.random() < 0.5:
            second = first
    offset = rng.randrange(second if kind == "sliding" else first) if kind in ("tumbling", "sliding") else 0
    triggers = {"count": ["time"], "global": ["count", "early", "every"]}.get(kind, ["time", "count", "early", "every"])
    trigger = rng.choice(triggers)
    every = rng.randint(1, 25) if trigger == "every" else rng.randint(1, 5)
    purges = kind != "count" and rng.random() < 0.4
    lateness = 0 if kind in ("count", "global") or rng.random() < 0.4 else rng.randint(1, 40)
    job = Job(kind, first, second, offset, trigger, every, purges, lateness)
    now, mark, keys = 1_000, START, rng.randint(1, 4)
    disorder, pace, marks = rng.choice([2, 10, 40]), rng.choice([1, 5, 20]), rng.choice([0.2, 0.5, 0.9])
    for _ in range(rng.randint(5, 40)):
        now += rng.randint(0, pace)
        time = max(1, now - rng.randint(0, disorder))
        if rng.random() < marks:
            mark = max(mark, now - rng.randint(-pace // 2, disorder))
        job.rows.append((time, rng.randrange(keys), rng.randint(-100, 100), rng.randint(1, 30), mark))
    # What comes behind the last row comes at the end of the input.
    job.rows.append((max(now, mark + 1), 999, 0, 1, mark))
    return job


@dataclass
class Open:
    """A window of a key with all its rows."""

    key: int
    start: int
    end: int
    rows: list
    fresh: int = 0
    is_over: bool = False
    early: int | None = None
    # Whether it was made of several.
    is_merged: bool = False
    timers: set = field(default_factory=set)

    @property
    def last(self):
        return self.end - 1


class Model:
    """What a job gives, in groups: all rows of a group have one cause and one time of firing."""

    def __init__(self, job, rules):
        self.job, self.rules = job, rules
        self.open, self.groups, self.late = [], [], []
        self.mark, self.group = START, None

    def run(self):
        job = self.job
        if job.kind == "count":
            return self.count_windows()
        for number, row in enumerate(job.rows):
            self.cause = 2 * number
            self.group = None
            self.row(row)
            self.cause += 1
            if row[4] > self.mark:
                self.advance(row[4])
        if "no end" not in self.rules:
            self.advance(END)
        return self

    def give(self, key, window, rows, time, stamp):
        """Adds a row to what has come of this cause, at this time of firing."""
        if self.group != (self.cause, time):
            self.group = (self.cause, time)
            self.groups.append((self.cause, []))
        stamp = END if "stamp" in self.rules and self.job.is_endless else stamp
        self.groups[-1][1].append((stamp, *window, key, len(rows), sum(rows)))

    def count_windows(self):
        seen = collections.defaultdict(list)
        for number, (time, key, value, _, _) in enumerate(self.job.rows):
            self.cause = 2 * number
            seen[key].append(value)
            if len(seen[key]) % self.job.second == 0:
                self.give(key, (0, 0), seen[key][-self.job.first :], None, time)
        return self

    def fire(self, window, time, fired_at):
        window.fresh = 0
        if not window.rows:
            return
        if self.job.is_endless:
            self.give(window.key, (0, 0), window.rows, fired_at, time)
        else:
            self.give(window.key, (window.start, window.end), window.rows, fired_at, window.last)
        if self.job.purges:
            window.rows = []

    def windows_of(self, time, gap):
        job = self.job
        if job.kind == "global":
            return [(START, END)]
        if job.kind == "session":
            return [(time, time + job.first)]
        if job.kind == "session-by-row":
            return [(time, time + gap)]
        size, slide = job.first, job.second if job.kind == "sliding" else job.first
        starts = range(time - (time - job.offset) % slide, time - size, -slide)
        return [(start, start + size) for start in starts]

    def row(self, row):
        time, key, value, gap, _ = row
        is_late = True
        for own in self.windows_of(time, gap):
            start, end = own
            if self.job.kind.startswith("session"):
                met = [open for open in self.open if open.key == key and open.start <= end and start <= open.end]
            else:
                met = [open for open in self.open if (open.key, open.start, open.end) == (key, start, end)]
            start = min([start, *(open.start for open in met)])
            end = max([end, *(open.end for open in met)])
            if end != END and end - 1 + self.job.lateness <= self.mark:
                continue
            is_late = False
            if [(open.start, open.end) for open in met] == [(start, end)]:
                window = met[0]
                if "same" in self.rules and window.is_merged and own == (start, end):
                    window.rows, window.is_merged = [], False
            else:
                window = self.merged(key, start, end, met)
            window.rows.append(value)
            window.fresh += 1
            self.on_row(window, time)
        if is_late:
            self.late.append((self.cause, self.cause // 2))

    def merged(self, key, start, end, parts):
        rows = [row for part in parts for row in part.rows]
        early = min((part.early for part in parts if part.early is not None), default=None)
        fresh, is_over = sum(part.fresh for part in parts), end - 1 <= self.mark
        window = Open(key, start, end, rows, fresh, is_over, early, bool(parts))
        self.open = [open for open in self.open if open not in parts]
        self.open.append(window)
        if end != END:
            window.timers.add(window.last + self.job.lateness)
            if not window.is_over:
                window.timers.add(window.last)
        if early is not None:
            window.timers.add(early)
        return window

    def on_row(self, window, time):
        job = self.job
        fires = job.trigger in ("count", "early") and window.fresh >= job.every
        if window.is_over:
            fires = fires or job.trigger != "count"
        elif job.trigger == "every" and window.early is None:
            behind = time if "past" in self.rules else max(time, self.mark)
            self.fire_early_at(window, behind - behind % job.every + job.every)
        if fires:
            self.fire(window, time, None)

    @staticmethod
    def fire_early_at(window, time):
        window.early = min(time, window.last)
        window.timers.add(window.early)

    def advance(self, mark):
        # A cause of its own: the group of a row ends here.
        self.group = None
        self.mark = mark
        while True:
            due = [(min(open.timers), number) for number, open in enumerate(self.open) if open.timers]
            time, number = min(due, default=(END, 0))
            if time > mark or time == END:
                break
            window = self.open[number]
            window.timers.remove(time)
            self.on_time(window, time, mark)
        if mark == END and "end" in self.rules:
            for window in self.open:
                self.fire(window, END, END)

    def on_time(self, window, time, mark):
        job = self.job
        if time == window.last and (not window.is_over or time == window.early):
            window.is_over = True
            if job.trigger != "count":
                self.fire(window, time, time)
            if "kept" not in self.rules:
                window.early = None
        elif time == window.early:
            window.early = None
            next_one = time + job.every if "on" in self.rules else time - time % job.every + job.every
            if not (job.is_endless and mark == END):
                self.fire_early_at(window, next_one)
            self.fire(window, time, time)
        if not job.is_endless and time == window.last + job.lateness:
            self.open.remove(window)


def matches(model, found, divisor):
    """Whether rows are those of a model, where causes are divided."""
    fired, late = found
    if late != [(cause // divisor, row) for cause, row in model.late]:
        return False
    at = 0
    for cause, rows in model.groups:
        part = fired[at : at + len(rows)]
        at += len(rows)
        if any(row[0] != cause // divisor for row in part):
            return False
        if collections.Counter(row[1:] for row in part) != collections.Counter(rows):
            return False
    return at == len(fired)


def explained(job, ours, flinks):
    """The fewest rules that say why the two differ, or None. No rules where they do not."""
    if not matches(Model(job, ()).run(), ours, 2):
        return None
    rules = list(job.rules())
    for count in range(len(rules) + 1):
        for some in itertools.combinations(rules, count):
            if matches(Model(job, some).run(), flinks, 1):
                return some
    return None


def outcomes(command):
    """What comes out of each job: rows that windows give, and late rows."""
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines or lines[-1] != "done":
        sys.exit(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    found = []
    for line in lines[:-1]:
        what, *numbers = line.split(" ")
        if what == "job":
            found.append(([], []))
        else:
            found[-1][what == "late"].append(tuple(map(int, numbers)))
    return found


def shown(job, ours, flinks):
    model = Model(job, ()).run()
    lines = [" ".join(map(str, line)) for line in job.lines(0)]
    lines += ["the model:", *map(str, model.groups), f"late: {model.late}"]
    for name, (fired, late) in {"Pelton": ours, "Flink": flinks}.items():
        lines += [f"{name}:", *map(str, fired), f"late: {late}"]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", required=True, help="the binary of bench/compare/flink/windows")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="Pelton's")
    parser.add_argument("--cache", type=Path, default=run.CACHE)
    options = parser.parse_args()
    if options.jobs < 1 or options.workers < 1:
        parser.error("jobs and workers must be at least 1")
    try:
        java = run.found("java")
        classes = run.compiled(options.cache)
    except run.Missing as missing:
        print(f"skipped: {missing}")
        return 0
    rng = random.Random(options.seed)
    jobs = [random_job(rng) for _ in range(options.jobs)]
    with tempfile.TemporaryDirectory(prefix="pelton-windows-") as made:
        told = Path(made) / "jobs"
        lines = (line for number, job in enumerate(jobs) for line in job.lines(number))
        told.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines))
        ours = outcomes([options.windows, told, str(options.workers)])
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in run.OPENED]
        flinks = outcomes([java, "-XX:+UseSerialGC", "-Xmx1g", *opened, "-cp", classes, "WindowRules", told])
    return told_of(options, jobs, ours, flinks)


def told_of(options, jobs, ours, flinks):
    """Prints what came of the jobs; the exit code."""
    same, wrong, by_rule, by_kind = 0, [], collections.Counter(), collections.Counter()
    for number, (job, our, flink) in enumerate(zip(jobs, ours, flinks, strict=True)):
        rules = explained(job, our, flink)
        by_kind[f"{job.kind}, {job.trigger}"] += 1
        if rules is None:
            wrong.append(number)
            print(f"job {number} of seed {options.seed} differs and no rule says why:\n{shown(job, our, flink)}")
        elif not rules:
            same += 1
        by_rule.update(rules or ())
    fired = sum(len(rows) for rows, _ in flinks)
    late = sum(len(rows) for _, rows in flinks)
    rows = sum(len(job.rows) for job in jobs)
    print(f"{len(jobs)} jobs of seed {options.seed}, {rows} rows; Flink {run.FLINK} gives {fired} rows, and {late} late")
    for kind, count in sorted(by_kind.items()):
        print(f"  {count} of {kind}")
    print(f"{same} give the same")
    print(f"{len(jobs) - same - len(wrong)} differ as rules say")
    for rule, count in by_rule.most_common():
        print(f"  {count}: {RULES[rule]}")
    print(f"{len(wrong)} differ and no rule says why")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
