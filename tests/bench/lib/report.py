# SPDX-License-Identifier: Apache-2.0
"""The report: tables on the terminal as they come, and the same in build/bench/report.md."""
import datetime

from lib import host


class Report:
    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.passed = self.failed = 0
        self.surroundings = None
        self.write(f"# Benchmarks\n\n* {datetime.date.today()}")
        self.write("".join(f"* {line}\n" for line in host.describe()))

    def write(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def begin(self, title, what=""):
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

    def close(self):
        self.write(f"\n{self.passed} passed, {self.failed} failed")
        self.file.close()
        return self.failed == 0

    @staticmethod
    def progress(text):
        """Only for who waits at the terminal."""
        print(f"  {text}", flush=True)
