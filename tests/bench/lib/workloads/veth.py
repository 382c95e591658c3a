# SPDX-License-Identifier: Apache-2.0
"""W2: four clients and three servers at once in two namespaces: there softirqs interrupt programs, which are skipped."""
import json

from lib import arms, charts, sections, triples
from lib.host import BUILD, CPUS, output_of
from lib.namespaces import Pair


ALL_CPUS = ",".join(map(str, CPUS))
TIMED_CONNECTIONS = 100000  # some two seconds
# tcpstates writes ten lines for a connection; of two namespaces emit only counts one.
BESIDE = ("tcptrail-run", "empty", "tcplife", "bpftrace")


class Scene:
    """What it counts is in two namespaces, and what was born unseen has no addresses: told by either mark."""

    marks = [" 10.88.", " churn["]

    def __init__(self, connections):
        self.connections = connections

    def __enter__(self):
        self.pair = Pair()
        self.netns = self.pair.client.inode
        self.inodes = [self.netns, self.pair.server.inode]
        return self

    def __exit__(self, *_):
        self.pair.__exit__()

    def run(self):
        before = self.pair.opens()
        command = [f"{BUILD}/tests/bench/churn", "--client-netns", self.pair.client.path,
                   "--server-netns", self.pair.server.path, "--connections", str(self.connections)]
        made = json.loads(output_of(command))
        return triples.Run(made["seconds"], 2 * made["connections"], self.pair.opens() - before)


class Everywhere(arms.Tcptrail):
    """Of all namespaces."""

    def command(self):
        return [f"{BUILD}/tcptrail", "observe"]

    def result(self):
        return arms.Told(sum(1 for _ in self.lines()), super().result().lost)


def slowdowns(options, report, chosen):
    connections = options.connections or TIMED_CONNECTIONS
    report.write(f"{connections} connections in each run.\n")
    outcomes = triples.measure(lambda: Scene(connections), chosen, ALL_CPUS, options.triples,
                               progress=lambda outcome: report.progress(f"{outcome.name}: {outcome.slowdown_text()}"))
    sections.slowdown(report, outcomes)
    report.picture(charts.slowdown("w2", "W2 veth, both processors busy", outcomes.values()), "slowdown")
    sections.complete(report, outcomes, options.triples)
    sections.slowdown_goals(report, "W2 veth, all processors busy", 1.05, outcomes)


def completeness(options, report, arm):
    """Of one long run; its time says little."""
    outcome = triples.Outcome(arm.name)
    with Scene(options.lifecycles // 2) as scene:
        during, told = triples.run_with(arm, scene, ALL_CPUS, outcome)
    outcome.add(during, during, during, told)
    report.write(f"One long run, {arm.name}: told {outcome.told_text()}; runs skipped: {outcome.skipped}\n")
    report.check(outcome.is_complete, f"{arm.name} told {outcome.told} of {outcome.ends}, SNMP {outcome.opens}")
    report.goal(f"W2 veth, {arm.name}: missing of {outcome.ends}", 0, outcome.unseen,
                beside=f"recursion misses {outcome.skipped}, at which another program tells")


def run(options, report):
    report.begin("W2 veth: four clients, three servers", "Both processors are busy: the tool takes its time from them.")
    chosen = [Everywhere(), *arms.make(name for name in BESIDE if name in options.arms)]
    slowdowns(options, report, chosen)
    for arm in chosen:
        if arm.name in arms.OURS:
            completeness(options, report, arm)
    sections.configuration(report, chosen)
    report.end()
