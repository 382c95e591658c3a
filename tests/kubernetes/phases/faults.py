# SPDX-License-Identifier: Apache-2.0
"""Faults 65 and 66 on a real node: drain, two agents at once, the host's process numbers withheld or hidden.

The API server that is away is phase `api`; late metadata is in each load of phase `identity`.
"""
import copy
import time

from lib import agent, cluster, oracle, shop
from lib.judge import Judge
from phases import identity

RATE = 100
FROM_BEFORE = "connections and listeners from before the start, until they end (in a pid namespace of its own)"
EXECUTABLES = "executables of other users' processes (without CAP_SYS_PTRACE)"


def drain(verdict):
    since = verdict.step("drain: three deployments are rolled out", lambda: shop.open_shop(RATE))
    cluster.kubectl("drain", cluster.NAME, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
    running = [pod["metadata"]["name"] for pod in agent.pods() if pod["status"]["phase"] == "Running"]
    verdict.check("drain: the agent stays", len(running) == 1, str(running))
    cluster.kubectl("uncordon", cluster.NAME)
    for name in shop.PORTS:
        cluster.wait_rollout(shop.NAMESPACE, f"deployment/{name}")
    time.sleep(5)
    shop.close_shop()
    identity.judge(verdict, identity.delivered(), Judge(oracle.lines(), since))


def second_agent(pod):
    """The same pod once more, by itself: what a rolling update with an overlap would have on the node."""
    twin = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "second", "namespace": agent.NAMESPACE},
            "spec": copy.deepcopy(pod["spec"])}
    twin["spec"]["restartPolicy"] = "Never"
    return twin


def overlap(verdict):
    first = agent.pods()[0]
    runs = {event["run_id"] for event in agent.Stream("tcptrail.agents")}
    cluster.apply(second_agent(first))
    time.sleep(20)
    second = cluster.get("pod", "second", "--namespace", agent.NAMESPACE)
    ready = [each["status"] for each in second["status"].get("conditions", []) if each["type"] == "Ready"]
    log = cluster.kubectl("logs", "--namespace", agent.NAMESPACE, "second", check=False)
    verdict.check("two agents: the second one does not become ready", ready != ["True"], log.strip()[-300:])
    cluster.kubectl("delete", "pod", "--namespace", agent.NAMESPACE, "second")
    verdict.check("two agents: the first one goes on", agent.pods()[0]["metadata"]["uid"] == first["metadata"]["uid"]
                  and not agent.restarts())
    verdict.check("two agents: one run", {event["run_id"] for event in agent.Stream("tcptrail.agents")} == runs)


def few_processes(verdict, what, missing, *values):
    """Capture works, and its status says what is missing."""
    verdict.step(f"{what}: ready", lambda: agent.install(*values))
    since = verdict.step(f"{what}: three deployments are rolled out", lambda: shop.open_shop(RATE))
    time.sleep(10)
    shop.close_shop()
    identity.judge(verdict, identity.delivered(), Judge(oracle.lines(), since))
    status = agent.status()
    verdict.check(f"{what}: status says what is missing", missing in status, status.strip()[:500])


def run(verdict):
    if not agent.is_installed():
        agent.prepare(verdict)
    drain(verdict)
    overlap(verdict)
    few_processes(verdict, "no process numbers of the host", FROM_BEFORE, "hostPID=false")
    # A mount of its own over the node's /proc: the machine's own stays as it is.
    cluster.in_node("mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc")
    try:
        few_processes(verdict, "hidepid=2", EXECUTABLES, "hostPID=false", "capabilities.sysPtrace=false")
    finally:
        cluster.in_node("umount", "/proc")
    verdict.skip("container without root on the host", "containerd 1.6 has no user namespaces for pods")
    verdict.step("as before", agent.install)
