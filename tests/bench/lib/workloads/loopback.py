# SPDX-License-Identifier: Apache-2.0
"""W1: one thread connects, accepts and closes, over 250 addresses of the loopback, as fast as it can."""
import collections
import json
import subprocess

from lib import arms, charts, sections, triples
from lib.host import BUILD, CPUS, LOAD_CPU, TOOL_CPU, BenchError
from lib.namespaces import Namespace

SECONDS = 0.6  # that a run should take
# Where all processors are busy: the less of the work that the tool puts off falls behind the end of the run.
SATURATED_SECONDS = 1.5
FIRST_PORT = 20001

Kind = collections.namedtuple("Kind", "name end bytes")
Place = collections.namedtuple("Place", "name load_cpus tool_cpus seconds")

KINDS = {"fin0": Kind("FIN, 0 B", "fin", 0), "fin256": Kind("FIN, 256 B each way", "fin", 256),
         "rst0": Kind("RST, 0 B", "rst", 0), "rst256": Kind("RST, 256 B each way", "rst", 256)}
PLACES = {"other": Place("the tool on another processor", [LOAD_CPU], str(TOOL_CPU), SECONDS),
          "same": Place("the tool on the generator's processor", [LOAD_CPU], str(LOAD_CPU), SECONDS),
          "saturated": Place("a generator on each processor", CPUS, ",".join(map(str, CPUS)), SATURATED_SECONDS)}
GOALS = {"fin0": 1.07, "fin256": 1.05}
BESIDE_TCPLIFE = 20


class Scene:
    """A namespace, and generators in it: one on each of some processors."""

    def __init__(self, kind, cpus, connections):
        self.kind, self.cpus, self.connections = kind, cpus, connections
        self.marks = [f" {FIRST_PORT + i} " for i in range(len(cpus))]

    def __enter__(self):
        self.namespace = Namespace()
        self.netns = self.namespace.inode
        self.inodes = [self.netns]
        return self

    def __exit__(self, *_):
        self.namespace.__exit__()

    def generator_options(self):
        return []

    def generate(self, cpu, port):
        command = ["taskset", "-c", str(cpu), *self.namespace.enter, f"{BUILD}/tests/tools/generate", "--port", str(port),
                   "--connections", str(self.connections), "--end", self.kind.end, "--bytes", str(self.kind.bytes),
                   *self.generator_options()]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self):
        before = self.namespace.opens()
        generators = [self.generate(cpu, FIRST_PORT + i) for i, cpu in enumerate(self.cpus)]
        self.said = [json.loads(each.communicate()[0].splitlines()[-1]) for each in generators]
        if any(each["errors"] for each in self.said):
            raise BenchError("the generator had errors")
        made = sum(each["connections"] for each in self.said)
        return triples.Run(max(each["seconds"] for each in self.said), 2 * made, self.namespace.opens() - before)


def fitting(kind, cpus, seconds=SECONDS):
    """How many connections take so long here, in thousands."""
    with Scene(kind, cpus, 5000) as scene:
        scene.run()
        return 1000 * max(1, round(seconds * 5 / scene.run().cost))


def measure(options, kind, place, chosen, base=None, progress=lambda outcome: None):
    connections = options.connections or fitting(kind, place.load_cpus, place.seconds)
    outcomes = triples.measure(lambda: Scene(kind, place.load_cpus, connections), chosen, place.tool_cpus, options.triples,
                               base, progress)
    return connections, outcomes


def goals(report, kind_name, place_name, outcomes):
    what = f"W1 {KINDS[kind_name].name}; {PLACES[place_name].name}"
    if kind_name in GOALS and place_name != "same":
        sections.slowdown_goals(report, what, GOALS[kind_name], outcomes)
    peer = outcomes.get("tcplife")
    for name in arms.OURS if kind_name == "fin0" and peer and peer.ratios else ():
        if name in outcomes and outcomes[name].ratios:
            times = (peer.slowdown - 1) / max(outcomes[name].slowdown - 1, 1e-3)
            report.goal(f"{what}, {name}: adds less than tcplife", BESIDE_TCPLIFE, times, "times", at_least=True)


def run(options, report):
    chosen = arms.make(options.arms)
    for kind_name, place_name in options.cases:
        kind, place = KINDS[kind_name], PLACES[place_name]
        report.begin(f"W1 loopback: {kind.name}; {place.name}")
        connections, outcomes = measure(options, kind, place, chosen, progress=lambda outcome: report.progress(
            f"{outcome.name}: {outcome.slowdown_text()}"))
        report.write(f"{connections} connections for each generator in each run.\n")
        sections.slowdown(report, outcomes)
        report.picture(charts.slowdown(f"w1-{kind_name}-{place_name}", f"W1 {kind.name}; {place.name}", outcomes.values()),
                       "slowdown")
        sections.kernel(report, lambda: Scene(kind, place.load_cpus, 4 * connections), chosen, place.tool_cpus)
        sections.complete(report, outcomes, options.triples)
        goals(report, kind_name, place_name, outcomes)
        sections.configuration(report, chosen)
        report.end()
