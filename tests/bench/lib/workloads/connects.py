# SPDX-License-Identifier: Apache-2.0
"""How much longer connect() takes: percentiles of one thread's calls on loopback, in triples as W1."""
import statistics

from lib import arms, triples
from lib.host import TOOL_CPU
from lib.workloads.loopback import KINDS, PLACES, Scene, fitting

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
    """{percentile: (without, with the arm) in ns}, each of one run; without: the mean of before and after."""
    kind, place = KINDS["fin0"], PLACES["other"]
    taken = []
    with Timed(kind, place.load_cpus, connections) as scene:
        for each in (None, arm, None):
            triples.run_with(each, scene, str(TOOL_CPU))
            taken.append(scene.times)
    before, during, after = taken
    return {which: ((before[which] + after[which]) / 2, during[which]) for which in PERCENTILES}


def run(options, report):
    chosen = arms.make(options.arms)
    connections = options.connections or 2 * fitting(KINDS["fin0"], PLACES["other"].load_cpus)
    report.begin("connect()", f"Its time, as the caller measures it; {connections} calls in each run, medians of "
                 f"{options.triples} triples. The whole handshake is in it: on loopback it happens in the call.")
    found = {arm.name: [] for arm in chosen}
    for _ in range(options.triples):
        for arm in chosen:
            found[arm.name].append(triple(arm, connections))
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
    report.end()
