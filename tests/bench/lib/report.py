# SPDX-License-Identifier: Apache-2.0
"""The report: tables on the terminal as they come, and the same in build/bench/report.md."""
import collections
import datetime

from lib import host


# value: None where it could not be measured; beside: what else belongs to it, in words.
Goal = collections.namedtuple("Goal", "figure goal value unit at_least beside")


class Report:
    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.passed = self.failed = 0
        self.goals = []
        self.surroundings = None
        self.write(f"# Benchmarks\n\n* {datetime.date.today()}")
        self.write("".join(f"* {line}\n" for line in host.describe()))

    def write(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def begin(self, title, what=""):
        if host.statistics_are_on():
            raise host.BenchError("kernel.bpf_stats_enabled is on, which costs each run of a program: switch it off")
        self.surroundings = host.Surroundings()
        self.write(f"\n## {title}\n" + (f"\n{what}\n" if what else ""))

    def end(self):
        self.write(f"\n{self.surroundings.describe()}")

    def table(self, header, rows):
        widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]

        def line(row):
            return "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |"

        under = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        self.write("\n".join([line(header), under, *map(line, rows)]) + "\n")

    def picture(self, path, title):
        self.write(f"![{title}]({path})\n")

    def check(self, good, what):
        """One thing that must be so."""
        self.passed += bool(good)
        self.failed += not good
        self.write(f"{'passed' if good else 'FAILED'}: {what}")

    def goal(self, figure, goal, value, unit="", at_least=False, beside=""):
        """A figure that is to be no more than `goal`, or no less. To miss it is no failure of the run."""
        self.goals.append(Goal(figure, goal, value, unit, at_least, beside))

    def write_goals(self):
        rows = []
        for each in self.goals:
            met = each.value is not None and (each.value >= each.goal if each.at_least else each.value <= each.goal)
            rows.append([each.figure, f"{'≥' if each.at_least else '≤'} {each.goal:g} {each.unit}".strip(),
                         "not measured" if each.value is None else f"{each.value:.4g} {each.unit}".strip(),
                         "met" if met else "missed" if each.value is not None else "", each.beside])
        if rows:
            self.write("\n## Goals\n")
            self.table(["figure", "goal", "measured", "", "beside it"], rows)

    def close(self):
        self.write_goals()
        self.write(f"\n{self.passed} passed, {self.failed} failed")
        self.file.close()
        return self.failed == 0

    @staticmethod
    def progress(text):
        """Only for who waits at the terminal."""
        print(f"  {text}", flush=True)
