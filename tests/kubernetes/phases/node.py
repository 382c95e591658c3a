# SPDX-License-Identifier: Apache-2.0
"""The node itself, before anything is said of tcptrail: is it one on which the workload does what its oracle says?"""
import collections
import time

from lib import cluster, oracle, shop


def killed_for_memory(pod):
    statuses = pod["status"].get("containerStatuses", [])
    ends = [status[when].get("terminated", {}) for status in statuses for when in ("state", "lastState")]
    return any(end.get("reason") == "OOMKilled" for end in ends)


def run(verdict):
    verdict.step("three deployments are rolled out", lambda: shop.open_shop(rate=100))
    cluster.apply(shop.hog())
    verdict.step("a container is killed for its memory",
                 lambda: cluster.wait("OOMKilled", lambda: any(map(killed_for_memory, shop.pods_of("hog"))), 120))
    time.sleep(5)
    shop.close_shop()
    told = list(oracle.lines())

    made = collections.Counter((line.role, line.plan, line.outcome, line.end) for line in told)
    for role, plan, outcome, end in [
            ("CLIENT", "c", "ESTABLISHED", "LOCAL_CLOSE"), ("SERVER", "c", "ESTABLISHED", "REMOTE_CLOSE"),
            ("CLIENT", "s", "ESTABLISHED", "REMOTE_CLOSE"), ("SERVER", "s", "ESTABLISHED", "LOCAL_CLOSE"),
            ("CLIENT", "r", "ESTABLISHED", "LOCAL_RESET"), ("SERVER", "r", "ESTABLISHED", "REMOTE_RESET"),
            ("CLIENT", "R", "ESTABLISHED", "REMOTE_RESET"), ("SERVER", "R", "ESTABLISHED", "LOCAL_RESET"),
            ("CLIENT", "x", "REFUSED", "NOT_ESTABLISHED")]:
        count = made[role, plan, outcome, end]
        verdict.check(f"{role}: {plan}, {outcome}, {end}", count, f"{count} lines")

    services = set(shop.ADDRESSES.values())
    ways = collections.Counter(
        "service" if line.remote in services else "host" if line.remote == cluster.ADDRESS else "pod"
        for line in told if line.role == "CLIENT" and line.outcome == "ESTABLISHED")
    for way in ("service", "pod", "host"):
        verdict.check(f"calls by {way} address", ways[way], f"{ways[way]} connections")
    servers = {line.pod for line in told if line.role == "SERVER" and line.pod.startswith("stock-")}
    verdict.check("a service reaches each of its pods", len(servers) == 2, f"{len(servers)} of 2")
    strange = [line for line in told if line.local in services or line.plan == "?"]
    verdict.check("no line is of nobody", not strange, f"{len(strange)} of {len(told)}")
