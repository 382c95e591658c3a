# SPDX-License-Identifier: Apache-2.0
"""W6: a steady load. Processors that the agent takes, memory that it is charged, how long an event is on its way."""
import json
import subprocess
import time

from lib import charts, costs, kafka
from lib.agent import Agent, Usage
from lib.host import BUILD, LOAD_CPU, BenchError
from lib.namespaces import Namespace

MB = 1e6
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


def measured(agent, namespace, rate, seconds):
    """First without BPF statistics, then a fifth as long with them.

    Returns how many ends were made and counted by the kernel, the rate, processors of the agent and of its programs,
    and what its cgroup was charged at most.
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
        in_kernel = sum(each.nanos for each in costs.since(before, costs.readings(agent.pid))) / 1e9
        in_kernel /= time.monotonic() - began
    return made + more[0], counted + more[1], reached, used / went_by, in_kernel, max(memory)


def one_rate(report, rate, seconds, topics):
    with Namespace() as namespace, costs.MemoryGroup("steady") as group:
        with Agent(group, kafka.BROKERS, topics) if topics else Agent(group) as agent:
            made, counted, reached, cores, in_kernel, charged = measured(agent, namespace, rate, seconds)
            costs.await_idle(agent.pid)
            told = agent.told(namespace.inode, counted)
            lost = agent.lost()
        told_by, delays = "told", "no broker"
        if topics:
            there = kafka.Broker.arrived(topics["connections"], namespace.inode)
            told, told_by = there.get("EVENT_KIND_CLOSED", 0), "delivered"
            delays = ", ".join(str(there.get(f"DELAY_{which}")) for which in ("P50", "P99", "MAX"))
    report.check(told == made == counted and not lost,
                 f"{rate} ends/s: {told} {told_by} of {made}, SNMP {counted}; lost {lost or 0}")
    report.check(reached > 0.95 * rate, f"{rate} ends/s wanted, {reached:.0f} made")
    row = [f"{reached:.0f}", f"{cores:.4f}", f"{in_kernel:.4f}", *(f"{each / MB:.1f}" for each in charged), delays,
           f"{told} {told_by}", sum(lost.values())]
    return row, (reached, cores, in_kernel)


def all_rates(options, report, broker):
    rows, points = [], []
    for rate in options.rates:
        topics = broker.create_topics(f"steady{rate}") if broker else None
        row, point = one_rate(report, rate, options.seconds, topics)
        rows.append(row)
        points.append(point)
    report.write("")
    report.table(HEADER, rows)
    series = {"user + system": [(rate, cores) for rate, cores, _ in points],
              "BPF programs": [(rate, cores) for rate, _, cores in points]}
    picture = charts.lines("w6-cores", "W6: what the agent takes", "ends of connections per second", "processors", series)
    report.picture(picture, "processors by load")


def run(options, report):
    report.begin("W6 steady load", f"{options.seconds} s each, and a fifth of that for the time of the BPF programs. "
                 "Memory is what the agent's cgroup is charged at most: the kernel's share holds the maps of BPF.")
    with kafka.broker(options, report) as broker:
        all_rates(options, report, broker)
    report.end()
