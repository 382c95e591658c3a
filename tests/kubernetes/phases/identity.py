# SPDX-License-Identifier: Apache-2.0
"""Every event of the load has the right pod, container and workload of its own end, or says what it lacks.

RATE connections a second for SECONDS, by service, by pod, on the host's network, while pods are deleted and made anew
and containers are killed for their memory.
"""
import os
import random
import time

from lib import agent, cluster, oracle, shop
from lib.judge import Judge

RATE = int(os.environ.get("KUBERNETES_RATE", "2000"))
SECONDS = int(os.environ.get("KUBERNETES_SECONDS", "60"))
LEAST_RIGHT = 0.99  # of all events
BLIND_PART = 5e-4  # of all events: a few in ten thousand
EVERY = 4  # seconds between two pods that are deleted


def churn(seed):
    """Deletes a pod of the load every few seconds; each third one at once, without time to end."""
    chosen, deleted = random.Random(seed), 0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(EVERY)
        names = [pod["metadata"]["name"] for name in ("front", "stock", "till") for pod in shop.pods_of(name)
                 if "deletionTimestamp" not in pod["metadata"]]
        hard = ["--grace-period=0", "--force"] if deleted % 3 == 2 else []
        cluster.kubectl("delete", "pod", "--namespace", shop.NAMESPACE, "--wait=false", *hard, chosen.choice(names))
        deleted += 1
    return deleted


def delivered():
    """Does the agent wait for nothing? Its newest report says so, and it is of a time after the load."""
    began = time.time_ns()

    def is_empty():
        report = agent.last_report()
        return int(report["emitted_unix_nanos"]) > began and not int(report.get("spool_events", 0)) and report
    return cluster.wait("all events are delivered", is_empty, 120)


def print_counts(title, counts):
    print(f"  {title}: " + ", ".join(f"{count} {name if isinstance(name, str) else ' '.join(name)}"
                                     for name, count in counts.most_common()))


def judge(verdict, report, judged):
    stream = agent.Stream()
    for event in stream:
        judged.take(event)
    untold = judged.untold()
    print(f"  lines {judged.lines}, of which {judged.unbound_lines} without a port")
    print("  told {:.0f} ms (median), {:.0f} ms (99 %), {:.0f} ms (most) after the end".format(*judged.delays()))
    print_counts("events", judged.kinds)
    print_counts("told, by what happened", judged.outcomes)
    print_counts("flags", judged.flags)
    print_counts("ended otherwise", judged.ends)
    for kind, examples in judged.examples.items():
        for example in examples:
            print(f"  {kind}: {example}")
    lost = agent.losses(report)
    kinds, total = judged.kinds, sum(judged.kinds.values())
    for kind in ("wrong", "absent, and no flag", "without a line, of another"):
        verdict.check(f"no event is {kind}", not kinds[kind], f"{kinds[kind]} of {total}")
    # The others may say what they lack.
    verdict.check(f"{LEAST_RIGHT:.0%} have all of it", total and kinds["right"] >= LEAST_RIGHT * total, f"{kinds['right']} of {total}")
    verdict.check("each line has its event, but for what is counted as lost", len(untold) <= sum(lost.values()),
                  f"{len(untold)} of {judged.lines} without, lost {lost or 'nothing'}; {untold[:2]}")
    verdict.check("outcome and end are those of the line", not judged.ends, f"{sum(judged.ends.values())} of {total} not")
    verdict.check("few say that a hook did not see all", judged.blind <= 2 + total * BLIND_PART, f"{judged.blind} of {total}")
    verdict.check("no holes", stream.is_whole, stream.verdict[-300:])


def run(verdict):
    agent.prepare(verdict)
    since = verdict.step("three deployments are rolled out", lambda: shop.open_shop(RATE))
    cluster.apply(shop.hog())
    deleted = churn(seed=8)
    shop.close_shop()
    report = verdict.step("all is delivered", delivered)
    print(f"  {RATE} connections/s for {SECONDS} s, {deleted} pods deleted")
    judge(verdict, report, Judge(oracle.lines(), since))
    verdict.check("the agent was not started again", agent.restarts() == 0)
