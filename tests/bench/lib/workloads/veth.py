# SPDX-License-Identifier: Apache-2.0
"""W2: four clients and three servers at once in two namespaces: there softirqs interrupt programs, which are skipped."""
import json

from lib import arms, sections, triples
from lib.host import BUILD, CPUS, output_of
from lib.namespaces import Pair


# tcpstates writes ten lines for a connection; of two namespaces emit only counts one.
BESIDE = ("empty", "tcplife", "bpftrace")


class Scene:
    """What it counts is in two namespaces, and what was born unseen has no addresses: told by either mark."""

    marks = [" 10.88.", " churn["]

    def __init__(self, connections):
        self.connections = connections

    def __enter__(self):
        self.pair = Pair()
        self.netns = self.pair.client.inode
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


def run(options, report):
    connections = options.lifecycles // 2
    report.begin("W2 veth: four clients, three servers", f"{2 * connections} ends, both processors busy.")
    outcomes = {}
    chosen = [Everywhere(), *arms.make(name for name in BESIDE if name in options.arms)]
    for arm in chosen:
        outcomes[arm.name] = triples.Outcome(arm.name)
        with Scene(connections) as scene:
            triples.triple(scene, None, arm, ",".join(map(str, CPUS)), outcomes[arm.name])
        report.progress(f"{arm.name}: {outcomes[arm.name].slowdown_text()}")
    sections.slowdown(report, outcomes)
    report.write("One triple each: it is long, to count what is missed, and its slowdown says little.\n")
    sections.complete(report, outcomes)
    sections.configuration(report, chosen)
    report.end()
