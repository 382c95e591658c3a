# SPDX-License-Identifier: Apache-2.0
"""W6: a steady load. Processors that the agent takes, memory that it is charged, how long an event is on its way."""
import collections
import json
import statistics
import subprocess
import time

from lib import arms, charts, costs, kafka, triples
from lib.agent import Agent, Usage
from lib.host import BUILD, LOAD_CPU, TOOL_CPU, BenchError
from lib.namespaces import Namespace
from lib.workloads import loopback

MB = 1e6
GOAL_RATE = 20000
Run = collections.namedtuple("Run", "reached cores in_kernel p99")
HEADER = ["ends/s", "user + system, cores", "BPF, cores", "MB charged", "kernel's", "cache of files",
          "to the broker's log, ms: p50, p99, most", "told", "lost"]


class Load:
    """Connections at a rate in ends per second; 0: as fast as it goes."""

    def __init__(self, namespace, rate, ends):
        self.namespace, self.before = namespace, namespace.opens()
        self.process = subprocess.Popen(["taskset", "-c", str(LOAD_CPU), *namespace.enter, f"{BUILD}/tests/tools/generate",
                                         "--rate", str(rate / 2), "--connections", str(int(ends) // 2)],
                                        stdout=subprocess.PIPE, text=True)

    def finish(self):
        """(ends made, ends counted by the kernel, ends per second that it really were)"""
        said = json.loads(self.process.communicate()[0].splitlines()[-1])
        if said["errors"]:
            raise BenchError("the generator had errors")
        return 2 * said["connections"], self.namespace.opens() - self.before, 2 * said["connections"] / said["seconds"]


def measured(agent, namespace, rate, seconds, floor):
    """First without BPF statistics, then a fifth as long with them. floor: ns that an empty program reads.

    Returns how many ends were made and counted by the kernel, the rate, processors of the agent and of its programs, and
    what its cgroup was charged at most.
    """
    usage, load, memory = Usage(agent.pid), Load(namespace, rate, rate * seconds), []
    while load.process.poll() is None:
        memory.append(agent.group.charged())
        time.sleep(0.5)
    made, counted, reached = load.finish()
    went_by, used, _, _ = usage.take()
    with costs.statistics():
        before, began = costs.readings(agent.pid), time.monotonic()
        more = Load(namespace, rate, rate * max(seconds / 5, 1)).finish()
        done = list(costs.since(before, costs.readings(agent.pid)))
        in_kernel = sum(each.nanos - floor * each.runs for each in done) / 1e9 / (time.monotonic() - began)
    return made + more[0], counted + more[1], reached, used / went_by, in_kernel, max(memory)


def one_run(report, rate, seconds, topics, floor):
    with Namespace() as namespace, costs.MemoryGroup("steady") as group:
        with Agent(group, kafka.BROKERS, topics) if topics else Agent(group) as agent:
            made, counted, reached, cores, in_kernel, charged = measured(agent, namespace, rate, seconds, floor)
            costs.await_idle(agent.pid)
            told = agent.told(namespace.inode, counted)
            skipped = costs.skipped_runs(agent.pid)
            lost = agent.lost()
        told_by, delays = "told", None
        if topics:
            there = kafka.Broker.arrived(topics["connections"], namespace.inode)
            told, told_by = there.get("EVENT_KIND_CLOSED", 0), "delivered"
            delays = [there.get(f"DELAY_{which}") for which in ("P50", "P99", "MAX")]
    report.check(told == made == counted and not lost,
                 f"{rate} ends/s: {told} {told_by} of {made}, SNMP {counted}; lost {lost or 0}; runs skipped {skipped}; "
                 f"{triples.bound_text(made - told, made)}")
    report.check(reached > 0.95 * rate, f"{rate} ends/s wanted, {reached:.0f} made")
    row = [f"{reached:.0f}", f"{cores:.4f}", f"{in_kernel:.4f}", *(f"{each / MB:.1f}" for each in charged),
           ", ".join(map(str, delays)) if delays else "no broker", f"{told} {told_by}", sum(lost.values())]
    return row, Run(reached, cores, in_kernel, delays[1] if delays else None)


def all_rates(options, report, broker):
    rows, points = [], []
    empty = arms.Empty()
    floor = triples.empty_reading(lambda: loopback.Scene(loopback.KINDS["fin0"], [LOAD_CPU], 20000), empty, str(TOOL_CPU))
    for rate in options.rates:
        runs = []
        for repeat in range(options.repeats):
            topics = broker.create_topics(f"steady{rate}-{repeat}") if broker else None
            row, run = one_run(report, rate, options.seconds, topics, floor)
            rows.append(row)
            runs.append(run)
        points.append(Run(*(statistics.median(values) if None not in values else None for values in zip(*runs))))
    report.write("")
    report.table(HEADER, rows)
    series = {"user + system": [(each.reached, each.cores) for each in points],
              "BPF programs": [(each.reached, each.in_kernel) for each in points]}
    picture = charts.lines("w6-cores", "W6: what the agent takes", "ends of connections per second", "processors", series)
    report.picture(picture, "processors by load")
    if options.rates[-1] == GOAL_RATE:
        last, kafka_too = points[-1], "Kafka included" if broker else "no broker"
        report.goal(f"W6 {GOAL_RATE} ends/s, {kafka_too}: user + system + BPF", 0.1, last.cores + last.in_kernel, "cores",
                    beside=f"{last.cores:.3f} + {last.in_kernel:.3f}; medians of {options.repeats}")
        report.goal(f"W6 {GOAL_RATE} ends/s: end of the connection to the broker's log, 99 %", 250, last.p99, "ms",
                    beside="one broker: it answers when its log has it")


def run(options, report):
    report.begin("W6 steady load", f"{options.seconds} s each, and a fifth of that for the time of the BPF programs, less what "
                 "empty ones read. Memory is what the agent's cgroup is charged at most: the kernel's share holds the maps of "
                 "BPF. To the broker's log: from the end of the connection on.")
    with kafka.broker(options, report) as broker:
        all_rates(options, report, broker)
    report.end()
