# SPDX-License-Identifier: Apache-2.0
"""How much longer connect() takes: percentiles of one thread's calls on loopback, in triples as W1."""
import statistics

from lib import arms, triples
from lib.host import TOOL_CPU
from lib.workloads.loopback import KINDS, PLACES, Scene, fitting

SECONDS = 5  # of a run: a thousandth of the calls must be many
GOAL_US = 5
PERCENTILES = {"p50": "50 %", "p99": "99 %", "p999": "99.9 %"}


class Timed(Scene):
    """As fast as it goes; each call is timed by the caller."""

    def generator_options(self):
        return ["--time-connect"]

    @property
    def times(self):
        """Of the last run, by percentile."""
        return self.said[0]["connect_ns"]


def triple(arm, connections):
    """({percentile: (without, with the arm) in ns}, whether all was told). Without: the mean of before and after."""
    kind, place = KINDS["fin0"], PLACES["other"]
    taken, outcome = [], triples.Outcome(arm.name)
    with Timed(kind, place.load_cpus, connections) as scene:
        for each in (None, arm, None):
            run, told = triples.run_with(each, scene, str(TOOL_CPU))
            taken.append(scene.times)
            if each:
                outcome.add(run, run, run, told)
    before, during, after = taken
    return {which: ((before[which] + after[which]) / 2, during[which]) for which in PERCENTILES}, outcome.is_complete


def run(options, report):
    chosen = arms.make(options.arms)
    connections = options.connections or fitting(KINDS["fin0"], PLACES["other"].load_cpus, SECONDS)
    report.begin("connect()", f"Its time, as the caller measures it; {connections} calls in each run, medians of "
                 f"{options.triples} runs, each between two without. The whole handshake is in it: on loopback it happens in "
                 "the call.")
    found = {arm.name: [] for arm in chosen}
    complete = {arm.name: True for arm in chosen}
    for turn in range(options.triples):
        first = turn % len(chosen)
        for arm in chosen[first:] + chosen[:first]:
            times, told_all = triple(arm, connections)
            found[arm.name].append(times)
            complete[arm.name] &= told_all
            report.progress(f"{arm.name}: " + ", ".join(f"{text} {times[which][0]} -> {times[which][1]}"
                                                        for which, text in PERCENTILES.items()))
    rows = []
    for name, each in found.items():
        row = [name]
        for which in PERCENTILES:
            without = statistics.median(pair[which][0] for pair in each)
            added = [pair[which][1] - pair[which][0] for pair in each]
            row.append(f"{without / 1000:.2f} + {statistics.median(added) / 1000:.2f} "
                       f"({min(added) / 1000:.2f} to {max(added) / 1000:.2f})")
        rows.append(row)
    report.table(["arm", *(f"us, {text}: without + added" for text in PERCENTILES.values())], rows)
    added = {name: statistics.median(during - without for without, during in (pair["p999"] for pair in each)) / 1000
             for name, each in found.items()}
    for name in arms.OURS:
        if name in added:
            report.check(complete[name], f"{name} told all")
            beside = "; ".join(f"{other} {value:.2f}" for other, value in added.items() if other not in arms.OURS)
            report.goal(f"connect(), 99.9 %, {name}: added", GOAL_US, added[name], "us", beside=beside)
    report.end()
