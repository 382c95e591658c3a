# SPDX-License-Identifier: Apache-2.0
"""W7: the whole path to a real broker, at full speed; and into the spool alone, where no broker is reached."""
from lib import costs, kafka
from lib.agent import Agent, Usage, wait_for
from lib.namespaces import Namespace
from lib.workloads.steady import Load

FULL_SPEED = 0
HEADER = ["path", "ends", "user, us per end", "user + system, us per end", "ends/s until all is there", "arrived", "lost"]


def one_path(report, ends, topics):
    with Namespace() as namespace, costs.MemoryGroup("delivery") as group:
        with Agent(group, kafka.BROKERS, topics) if topics else Agent(group) as agent:
            def stored():
                return agent.stage("transmit")["out"] if topics else agent.stage("spool")["in"]
            first = stored()
            usage, load = Usage(agent.pid), Load(namespace, FULL_SPEED, ends)
            made, counted, _ = load.finish()
            wait_for("all is stored", lambda: stored() - first >= made, 120)
            went_by, used, user, _ = usage.take()
            lost = agent.lost()
            arrived = agent.told(namespace.inode, counted)
        if topics:
            arrived = kafka.Broker.arrived(topics["connections"], namespace.inode).get("EVENT_KIND_CLOSED", 0)
    name = "ring to acknowledgement" if topics else "ring to spool, no broker"
    report.check(arrived == made == counted and not lost,
                 f"{name}: {arrived} of {made}, SNMP {counted}; lost {lost or 0}")
    return [name, made, f"{1e6 * user / made:.2f}", f"{1e6 * used / made:.2f}", f"{made / went_by:.0f}", arrived,
            sum(lost.values())]


def run(options, report):
    report.begin("W7 the whole path", "Of the agent's process alone; the broker shares the processors with it.")
    rows = [one_path(report, options.deliveries, None)]
    with kafka.broker(options, report) as broker:
        if broker:
            rows.append(one_path(report, options.deliveries, broker.create_topics("delivery")))
    report.write("")
    report.table(HEADER, rows)
    report.end()
