# SPDX-License-Identifier: Apache-2.0
"""Counts what passes and what fails, and says so as the other tests do."""
import time

from lib.cluster import Failure


class Verdict:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, condition, told=""):
        """told: the figures, printed either way."""
        if condition:
            self.passed += 1
            print(f"passed: {name}{f' ({told})' if told else ''}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED: {name}{f': {told}' if told else ''}", flush=True)
        return bool(condition)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped: {name}: {why}", flush=True)

    def step(self, name, work):
        """A step that others need: it has passed if it raises nothing."""
        began = time.monotonic()
        try:
            result = work()
        except Failure as failure:
            self.check(name, False, str(failure))
            failure.counted = True
            raise
        self.check(name, True, f"{time.monotonic() - began:.1f} s")
        return result

    def last_line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"
