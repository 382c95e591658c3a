# SPDX-License-Identifier: Apache-2.0
"""The node as Python sees it: what `tests/kubernetes/node` does, and what is asked of its API server."""
import json
import os
import subprocess
import time

SCRIPT = "tests/kubernetes/node"
WORK = os.path.abspath(f"{os.environ.get('BUILD', 'build')}/kubernetes")
ORACLE = f"{WORK}/oracle"
NAMES = f"{WORK}/names"
ADDRESS = "10.99.0.1"
NAME = "tcptrail-test"
KAFKA = f"{ADDRESS}:9092"


class Failure(Exception):
    """What was to be so is not. The message is for people."""
    counted = False  # as a failure, by who saw it first


def run(*command, check=True, stdin=None, seconds=600):
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=seconds)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)[:200]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def node(*words, **options):
    return run(SCRIPT, *words, **options)


def in_node(*command, **options):
    return node("run", *command, **options)


def kubectl(*words, **options):
    return node("kubectl", *words, **options)


def helm(*words, **options):
    return node("helm", *words, **options)


def get(*words):
    """Objects, as the API server has them."""
    return json.loads(kubectl("get", "-o", "json", *words))


def apply(*objects):
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def name_service(name, addresses):
    """A headless service in the node's DNS."""
    with open(f"{NAMES}/{name}", "w", encoding="utf-8") as file:
        file.writelines(f"{address} {name}.svc.cluster.local\n" for address in addresses)


def wait(what, condition, seconds):
    """Its first result that is true. A condition that cannot be asked yet is not met yet."""
    until, trouble = time.monotonic() + seconds, ""
    while True:
        try:
            if result := condition():
                return result
        except Failure as failure:
            trouble = f": {failure}"
        if time.monotonic() > until:
            raise Failure(f"not after {seconds} s: {what}{trouble}")
        time.sleep(0.2)


def wait_rollout(namespace, what, seconds=180):
    try:
        kubectl("rollout", "status", "--namespace", namespace, what, f"--timeout={seconds}s", seconds=seconds + 30)
    except Failure as failure:
        raise Failure(f"{failure}\n{troubles(namespace)}") from None


def troubles(namespace):
    """What containers that are not ready have said, and the last events."""
    told = []
    for pod in get("pods", "--namespace", namespace)["items"]:
        status, name = pod["status"], pod["metadata"]["name"]
        for each in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            if not each["ready"] and each["restartCount"] + len(each["state"].get("running", {})):
                log = kubectl("logs", "--namespace", namespace, name, "--container", each["name"], "--tail=5", check=False)
                told.append(f"{name}, {each['name']}: {log.strip()}")
    told.append(kubectl("get", "events", "--namespace", namespace, "--field-selector", "type=Warning", check=False)[-1500:])
    return "\n".join(told)


def make_namespace(name):
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    wait(f"account of the namespace {name}", lambda: get("serviceaccount", "default", "--namespace", name), 60)
