# SPDX-License-Identifier: Apache-2.0
"""W7: the whole path to a real broker, at full speed; and into the spool alone, where no broker is reached."""
import statistics

from lib import costs, kafka, triples
from lib.agent import Agent, Usage, wait_for
from lib.namespaces import Namespace
from lib.workloads.steady import Load

FULL_SPEED = 0
HEADER = ["path", "ends", "user, us per end", "user + system, us per end", "ends/s until all is there", "arrived", "lost"]


def one_path(report, ends, topics):
    """(the row, user us per end)"""
    with Namespace() as namespace, costs.MemoryGroup("delivery") as group:
        with Agent(group, kafka.BROKERS, topics) if topics else Agent(group) as agent:
            def stored():
                return agent.stage("transmit")["out"] if topics else agent.stage("spool")["in"]
            first = stored()
            usage, load = Usage(agent.pid), Load(namespace, FULL_SPEED, ends)
            made, counted, _ = load.finish()
            wait_for("all is stored", lambda: stored() - first >= made, 120)
            went_by, used, user, _ = usage.take()
            skipped = costs.skipped_runs(agent.pid)
            lost = agent.lost()
            arrived = agent.told(namespace.inode, counted)
        if topics:
            arrived = kafka.Broker.arrived(topics["connections"], namespace.inode).get("EVENT_KIND_CLOSED", 0)
    name = "ring to acknowledgement" if topics else "ring to spool, no broker"
    report.check(arrived == made == counted and not lost,
                 f"{name}: {arrived} of {made}, SNMP {counted}; lost {lost or 0}; runs skipped {skipped}; "
                 f"{triples.bound_text(made - arrived, made)}")
    return [name, made, f"{1e6 * user / made:.2f}", f"{1e6 * used / made:.2f}", f"{made / went_by:.0f}", arrived,
            sum(lost.values())], 1e6 * user / made


def repeated(options, report, what, goal, topics_of):
    rows, users = zip(*(one_path(report, options.deliveries, topics_of(repeat)) for repeat in range(options.repeats)))
    report.goal(f"W7 {what}: user CPU per end", goal, statistics.median(users), "us",
                beside=f"median of {options.repeats}; {min(users):.2f} to {max(users):.2f}")
    return list(rows)


def run(options, report):
    report.begin("W7 the whole path", "Of the agent's process alone, metrics and its status, asked ten times a second, included; "
                 "the broker shares the processors with it.")
    rows = repeated(options, report, "ring to spool", 1, lambda _: None)
    with kafka.broker(options, report) as broker:
        if broker:
            rows += repeated(options, report, "ring to acknowledgement", 2,
                             lambda repeat: broker.create_topics(f"delivery-{repeat}"))
    report.write("")
    report.table(HEADER, rows)
    report.end()
