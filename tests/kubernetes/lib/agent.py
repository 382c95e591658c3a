# SPDX-License-Identifier: Apache-2.0
"""tcptrail on the node: the chart's DaemonSet, and what it has sent to Kafka."""
import base64
import collections
import json
import os
import re
import signal
import subprocess
import threading

from lib import cluster

BINARY = f"{os.environ.get('BUILD', 'build')}/tcptrail"
CHART = "deploy/helm/tcptrail"
ARCHIVE = f"{os.environ.get('BUILD', 'build')}/image/tcptrail.oci.tar"
NAMESPACE = "tcptrail"
RELEASE = "tcptrail"
VALUES = ("image.repository=localhost/tcptrail", "image.tag=test", "image.pullPolicy=Never",
          f"kafka.brokers={{{cluster.KAFKA}}}", *os.environ.get("KUBERNETES_VALUES", "").split())

# From within the node's network: of an address, with a bearer token.
FETCH = """import sys, urllib.request as http
asked = http.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
print(http.urlopen(asked, timeout=10).read().decode())"""


def start_kafka():
    cluster.node("start", "kafka")
    cluster.in_node(BINARY, "topics", "create", "--brokers", cluster.KAFKA)


def install(*values):
    """values: over those of every test."""
    words = [word for value in VALUES + values for word in ("--set", value)]
    cluster.helm("upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace", *words)
    cluster.wait_rollout(NAMESPACE, f"daemonset/{RELEASE}")


def prepare(verdict):
    """Kafka, the image, the chart."""
    verdict.step("Kafka runs in the node's network", start_kafka)
    cluster.node("load", ARCHIVE)
    verdict.step("helm install, the DaemonSet is ready", install)


def test():
    """helm test: what its pod has said."""
    cluster.name_service(f"{RELEASE}.{NAMESPACE}", [pod["status"]["podIP"] for pod in pods()])
    return cluster.helm("test", RELEASE, "--namespace", NAMESPACE, "--timeout", "150s")


def is_installed():
    return bool(cluster.helm("list", "--namespace", NAMESPACE, "--short").strip())


def uninstall():
    cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")


def pods():
    """Of the DaemonSet."""
    found = cluster.get("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/name=tcptrail")["items"]
    return [pod for pod in found if any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", []))]


def status():
    return cluster.kubectl("exec", "--namespace", NAMESPACE, f"daemonset/{RELEASE}", "--", "tcptrail", "status", check=False)


def metric(name):
    """The sum of its samples in all agents, as Prometheus would read them."""
    secret = cluster.get("secret", "--namespace", NAMESPACE, f"{RELEASE}-metrics")
    token = base64.b64decode(secret["data"]["token"]).decode()
    total = 0.0
    for pod in pods():
        text = cluster.in_node("python3", "-c", FETCH, f"http://{pod['status']['podIP']}:9466/metrics", token)
        total += sum(float(line.split()[-1]) for line in text.splitlines() if re.match(f"{name}[ {{]", line))
    return total


def restarts():
    return sum(status["restartCount"] for pod in pods() for status in pod["status"].get("containerStatuses", []))


class Stream:
    """All events that are in Kafka now, in turn; then `verdict` has what `consume --verify` says of holes."""

    def __init__(self, topic="tcptrail.connections"):
        self.command = [cluster.SCRIPT, "run", BINARY, "consume", "--brokers", cluster.KAFKA, "--topic", topic,
                        "--from", "beginning", "--verify", "-o", "jsonl"]
        self.verdict, self.is_whole = "", False

    def __iter__(self):
        with open(f"{cluster.WORK}/verify", "w+", encoding="utf-8") as verdict:
            with subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=verdict, text=True) as running:
                for line in running.stdout:
                    yield json.loads(line)
            verdict.seek(0)
            self.verdict, self.is_whole = verdict.read().strip(), running.returncode == 0


class Follower:
    """A context manager: counts the load's events that come from now on, without keeping them."""

    FLAGS = {"PARTIAL_POD_UNKNOWN", "PARTIAL_CONTAINER_UNKNOWN", "PARTIAL_WORKLOAD_UNKNOWN"}

    def __enter__(self):
        self.counts, self.named = collections.Counter(), set()
        self.running = subprocess.Popen(["setsid", cluster.SCRIPT, "run", BINARY, "consume", "--brokers", cluster.KAFKA,
                                         "--process", "workload", "-o", "jsonl"], stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        cluster.wait("events come", lambda: self.counts["all"], 60)
        return self

    def __exit__(self, *_):
        os.killpg(self.running.pid, signal.SIGINT)
        self.running.wait()
        self.reader.join()

    def read(self):
        for line in self.running.stdout:
            event = json.loads(line)
            told = event.get("kubernetes", {})
            self.counts["all"] += 1
            self.counts["pod"] += "pod" in told
            self.counts["workload"] += "workload" in told
            self.counts["flagged"] += not self.FLAGS.isdisjoint(event.get("partial", []))
            self.named.add((told.get("pod"), told.get("workload")))


def last_report():
    """The newest account that the agent gave of itself."""
    return max(Stream("tcptrail.agents"), key=lambda report: int(report["emitted_unix_nanos"]))


def losses(report):
    return {f"{stage['name']} {loss['reason']}": int(loss["count"])
            for stage in report["stages"] for loss in stage.get("lost", [])}
