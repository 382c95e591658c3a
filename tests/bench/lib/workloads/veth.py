# SPDX-License-Identifier: Apache-2.0
"""W2: four clients and three servers at once in two namespaces: softirqs interrupt programs, which the kernel skips then."""
import json

from lib import arms, sections, triples
from lib.host import BUILD, CPUS, output_of
from lib.namespaces import Pair


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
        made = json.loads(output_of([f"{BUILD}/tests/bench/churn", "--client-netns", self.pair.client.path, "--server-netns",
                                     self.pair.server.path, "--connections", str(self.connections)]))
        return triples.Run(made["seconds"], 2 * made["connections"], self.pair.opens() - before)


class Everywhere(arms.Tcptrail):
    """Of all namespaces."""

    def command(self):
        return [f"{BUILD}/tcptrail", "observe"]

    def result(self):
        return arms.Told(len(self.lines()), super().result().lost)


def run(options, report):
    connections = options.lifecycles // 2
    report.begin("W2 veth: four clients, three servers", f"{2 * connections} ends, both processors busy.")
    with Scene(connections) as scene:
        outcome = triples.Outcome("tcptrail")
        triples.triple(scene, None, Everywhere(), ",".join(map(str, CPUS)), outcome)
    sections.slowdown(report, {outcome.name: outcome})
    report.write("One triple: it is long, to count what is missed, and its slowdown says little.\n")
    sections.complete(report, {outcome.name: outcome})
    report.end()
