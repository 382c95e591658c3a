# SPDX-License-Identifier: Apache-2.0
"""W8: long connections: throughput (iperf3) and rate of requests (wrk, keep-alive). Tracing must not be seen."""
import json
import re
import subprocess
import time

from lib import arms, charts, sections, triples
from lib.host import BUILD, LOAD_CPU, TOOL_CPU, BenchError, output_of
from lib.namespaces import Namespace

PORT = 20001


class Scene:
    """A server on the second processor, a client on the first."""

    marks = [f" {PORT} "]
    ready = ""

    def __enter__(self):
        self.namespace = Namespace()
        self.netns = self.namespace.inode
        self.inodes = [self.netns]
        self.server = subprocess.Popen(["taskset", "-c", str(TOOL_CPU), *self.namespace.enter, *self.serve],
                                       stdout=subprocess.PIPE, text=True)
        for line in self.server.stdout:
            if self.ready in line:
                return self
        self.__exit__()
        raise BenchError(f"{self.serve[0]} did not start")

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        self.namespace.__exit__()

    def run(self):
        before = self.namespace.opens()
        said = output_of(["taskset", "-c", str(LOAD_CPU), *self.namespace.enter, *self.ask])
        time.sleep(0.1)  # the server closes its ends
        opens = self.namespace.opens() - before
        # The kernel's count is all that there is: these clients do not say.
        return triples.Run(1 / self.rate(said), opens, opens)


class Throughput(Scene):
    title, unit = "throughput of iperf3", "bits/s"
    serve, ready = ["iperf3", "-s", "-p", str(PORT), "--forceflush"], "listening"
    ask = ["iperf3", "-c", "127.0.0.1", "-p", str(PORT), "-t", "1", "-J"]

    def rate(self, said):
        return json.loads(said)["end"]["sum_received"]["bits_per_second"]


class Requests(Scene):
    title, unit = "requests of wrk, keep-alive", "requests/s"
    serve, ready = [f"{BUILD}/tests/bench/answer", str(PORT)], "ready"
    ask = ["wrk", "-t1", "-c16", "-d1s", f"http://127.0.0.1:{PORT}/"]

    def rate(self, said):
        return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def run(options, report):
    report.begin("W8 long connections", "Loopback, the client on one processor, the server and the tool on the other. "
                 "The slowdown is base / with the arm, of the rate.")
    for scene in (Throughput, Requests):
        report.write(f"### {scene.title}\n")
        chosen = arms.make(options.arms)
        outcomes = triples.measure(scene, chosen, str(TOOL_CPU), options.triples, has_witness=False,
                                   progress=lambda outcome: report.progress(f"{outcome.name}: {outcome.slowdown_text()}"))
        sections.slowdown(report, outcomes)
        report.picture(charts.slowdown(f"w8-{scene.__name__.lower()}", f"W8 {scene.title}", outcomes.values()), "slowdown")
        sections.complete(report, outcomes, options.triples)
        for name in arms.OURS:
            if name in outcomes and outcomes[name].ratios:
                report.goal(f"W8 {scene.title}, beside {name}", 0.99, 1 / outcomes[name].slowdown, "of base", at_least=True,
                            beside=sections.floors(outcomes, lambda outcome: 1 / outcome.slowdown))
        sections.configuration(report, chosen)
    report.end()
