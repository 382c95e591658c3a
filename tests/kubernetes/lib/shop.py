# SPDX-License-Identifier: Apache-2.0
"""The load: three deployments that call each other by service address, by pod address and on the host's network.

`front` and `stock` have addresses of their own, `till` is on the host's network. Each pod has a server and a caller, which
are two containers of it. `hog` holds connections until the kernel kills it for its memory, and is started again.
"""
import time

from lib import cluster, oracle, pods

NAMESPACE = "shop"
PORTS = {"front": 7100, "stock": 7200, "till": 7300}
ADDRESSES = {"front": "10.96.7.1", "stock": "10.96.7.2", "till": "10.96.7.3"}
# Every way to end, and one attempt of ten that is refused.
PLANS = "cscsrcsRcx"


def caller(rate, *whom, plans=PLANS):
    """Half of its calls go to service addresses, half to the pods behind them."""
    to = [word for name in whom for word in ("--to", f"{ADDRESSES[name]}:{PORTS[name]}")]
    return pods.container("caller", "call", *to, "--pods", "--plans", plans, "--rate", rate, "--threads", 8)


def pair(name, rate, *whom):
    return [pods.container("server", "serve", PORTS[name]), caller(rate, *whom)]


def objects(rate):
    """rate: connections a second, of all together. Five pods call."""
    each = rate / 5
    return [
        *(pods.service(NAMESPACE, name, ADDRESSES[name], PORTS[name]) for name in PORTS),
        pods.deployment(NAMESPACE, "front", 2, pair("front", each, "stock", "till")),
        pods.deployment(NAMESPACE, "stock", 2, pair("stock", each, "front")),
        pods.deployment(NAMESPACE, "till", 1, pair("till", each, "front", "stock"), hostNetwork=True),
    ]


def hog(hold=10, seconds=3):
    eater = pods.container("eater", "hog", "--to", f"{ADDRESSES['stock']}:{PORTS['stock']}", "--hold", hold, "--mib", 512,
                           "--seconds", seconds, resources={"limits": {"memory": "32Mi"}})
    return pods.deployment(NAMESPACE, "hog", 1, [eater])


def open_shop(rate):
    """The time from when on what is told and what is written down belong to this load."""
    cluster.make_namespace(NAMESPACE)
    close_shop()
    oracle.forget()
    since = time.time_ns()
    cluster.apply(*objects(rate))
    for name in PORTS:
        cluster.wait_rollout(NAMESPACE, f"deployment/{name}")
    return since


def close_shop():
    """Nobody calls any more, then nobody answers: what is written down by then is all."""
    cluster.kubectl("delete", "deployment", "--namespace", NAMESPACE, "--all", "--wait=true")
    cluster.wait("the pods have ended", lambda: not cluster.get("pods", "--namespace", NAMESPACE)["items"], 60)


def pods_of(name):
    return cluster.get("pods", "--namespace", NAMESPACE, "--selector", f"app={name}")["items"]
