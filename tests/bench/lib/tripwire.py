# SPDX-License-Identifier: Apache-2.0
"""Has tcptrail become slower? In triples emit only - tcptrail - emit only, which follow the machine's moods together.

The ratio of the two is compared with the one in tests/bench/baseline.json. What the machine is like cancels out for the
most part; where trampolines are refused, the exits of system calls are in it: hence a baseline for each way.
"""
import json
import os

from lib import arms, costs, host
from lib.workloads import loopback

BASELINE = "tests/bench/baseline.json"
MOST_GROWTH = 0.15
FEWEST = 5
OK, GREW, TOO_NOISY = 0, 1, 75


def way(tool):
    """How results of connect() and accept() are seen here."""
    return "tracepoints" if any("sys_exit" in name for name in tool.seen) else "trampolines"


class Watched(arms.Tcptrail):
    """Remembers the names of its programs."""

    seen = ()

    def stop(self):
        self.seen = [each.name for each in costs.readings(self.pid).values()]
        return super().stop()


def run(options, report):
    """Exit status: 75 where the machine is too noisy to say; 1 also where something was not told."""
    report.begin("Tripwire", "W1 FIN, 0 B; base is emit only.")
    tool = Watched()
    _, outcomes = loopback.measure(options, loopback.KINDS["fin0"], loopback.PLACES["other"], [tool], arms.EmitOnly(),
                                   lambda outcome: report.progress(outcome.slowdown_text()))
    outcome, how = outcomes["tcptrail"], way(tool)
    report.write(f"time with tcptrail / time with emit only: {outcome.slowdown_text()}; {how}")
    report.check(outcome.is_complete, f"told {outcome.told_text()}")
    report.end()
    if not outcome.is_complete:
        return GREW
    if len(outcome.ratios) < FEWEST:
        report.write("No verdict: too noisy.")
        return TOO_NOISY
    known = json.load(open(BASELINE, encoding="utf-8")) if os.path.exists(BASELINE) else {}
    if options.update_baseline and len(outcome.ratios) < options.triples:
        report.write(f"No new baseline: fewer than {options.triples} triples were kept.")
        return TOO_NOISY
    if options.update_baseline:
        known[how] = {"ratio": round(outcome.slowdown, 3), "least": round(min(outcome.ratios), 3),
                      "most": round(max(outcome.ratios), 3), "triples": len(outcome.ratios),
                      "kernel": host.kernel(), "load": round(os.getloadavg()[0], 2)}
        with open(BASELINE, "w", encoding="utf-8") as file:
            file.write(json.dumps(known, indent=4) + "\n")
    if how not in known:
        report.write(f"No verdict: {BASELINE} has none for {how}; --update-baseline writes it.")
        return TOO_NOISY
    baseline = known[how]["ratio"]
    growth = outcome.slowdown / baseline - 1
    report.check(growth <= MOST_GROWTH, f"{growth:+.1%} beside the baseline, {baseline}; allowed {MOST_GROWTH:+.0%}")
    return OK if report.failed == 0 else GREW
