# SPDX-License-Identifier: Apache-2.0
"""The API server goes away, forgets, and refuses: events go on, who owns them is known again, and it is not asked too often.

The agent is there from phase `identity`, or is installed.
"""
import time

from lib import agent, cluster, requests, shop

RATE = 100
# Of each kind, in two minutes of trouble. One list and one watch belong to each loss of a connection.
MOST_LISTS = 12


def a_pod_less():
    """One pod of `front` is deleted. The new one's name, when it runs."""
    before = {pod["metadata"]["name"] for pod in shop.pods_of("front")}
    cluster.kubectl("delete", "pod", "--namespace", shop.NAMESPACE, "--wait=false", sorted(before)[0])

    def new():
        return [pod["metadata"]["name"] for pod in shop.pods_of("front")
                if pod["metadata"]["name"] not in before and pod["status"]["phase"] == "Running"]
    # Kubelet and controllers have to come back first, and wait longer and longer between their tries: 135 s were seen.
    return cluster.wait("a new pod runs", new, 300)[0]


def trouble(verdict, what, begin, end, seconds):
    asked, restarts, began = requests.Requests(), agent.restarts(), time.monotonic()
    with agent.Follower() as events:
        before = events.counts.copy()
        try:
            begin()
            time.sleep(seconds)
        finally:
            end()
        counts = events.counts - before
        verdict.check(f"{what}: events go on", counts["all"] >= RATE * seconds, f"{dict(counts)} in {seconds} s")
        verdict.check(f"{what}: each has its pod, or says that it has not", counts["all"] <= counts["pod"] + counts["flagged"],
                      str(dict(counts)))
        pod = a_pod_less()
        verdict.step(f"{what}: a new pod and its workload are named", lambda: cluster.wait(
            f"an event of {pod} with its workload", lambda: (pod, "front") in events.named, 60))
    made = asked.count()
    lists = sum(count for (verb, _, _), count in made.items() if verb == "list")
    verdict.check(f"{what}: few lists", lists <= MOST_LISTS, f"in {time.monotonic() - began:.0f} s: {requests.say(made)}")
    verdict.check(f"{what}: no restart", agent.restarts() == restarts)


def start_api_server(key=None):
    cluster.run("env", *([f"SERVICE_ACCOUNT_KEY={key}"] if key else []), cluster.SCRIPT, "start", "api-server")


def stop_api_server():
    cluster.node("stop", "api-server")


def forget():
    """An API server that starts knows nothing older than its start: 410, too old resource version, to who goes on from
    what it has seen last."""
    stop_api_server()
    start_api_server()


def refuse():
    """Tokens of accounts are signed by a key that the API server does not know any more: 401."""
    key = f"{cluster.WORK}/etc/pki/other.key"
    cluster.run("openssl", "genrsa", "-out", key, "2048")
    stop_api_server()
    start_api_server(key)


def accept_again():
    """Also where it has not come so far. The node's own controllers have got tokens of the other key meanwhile."""
    cluster.node("stop", "api-server", check=False)
    start_api_server()
    for controllers in ("controller-manager", "scheduler"):
        cluster.node("stop", controllers, check=False)
        cluster.node("start", controllers)


def run(verdict):
    if not agent.is_installed():
        agent.prepare(verdict)
    verdict.step("three deployments are rolled out", lambda: shop.open_shop(RATE))
    verdict.check("metrics: the API server's answers are current", agent.metric("tcptrail_kubernetes_api_healthy") == 1)
    pods = agent.metric("tcptrail_kubernetes_objects")
    verdict.check("metrics: pods and more are known", pods > 5, f"{pods:.0f} objects")
    trouble(verdict, "API server stopped", stop_api_server, start_api_server, 60)
    failures = agent.metric("tcptrail_kubernetes_api_failures_total")
    verdict.check("metrics: requests failed meanwhile", failures > 0, f"{failures:.0f}")
    verdict.step("metrics: current again", lambda: cluster.wait(
        "the API server's answers are current", lambda: agent.metric("tcptrail_kubernetes_api_healthy") == 1, 60))
    trouble(verdict, "resource version expired", forget, lambda: None, 20)
    trouble(verdict, "token refused", refuse, accept_again, 30)
