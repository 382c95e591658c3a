# SPDX-License-Identifier: Apache-2.0
"""Each capability of the DaemonSet taken away in turn: its log says what is missing, and `tcptrail status` where it runs."""
import json

from lib import agent, cluster

# Without these there is nothing to run: sysexits.h, EX_NOPERM.
NEEDED = ("BPF", "PERFMON")
NO_PERMISSION = 77


def container():
    spec = cluster.get("daemonset", agent.RELEASE, "--namespace", agent.NAMESPACE)["spec"]["template"]["spec"]
    return spec["containers"][0]


def set_capabilities(names):
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/securityContext/capabilities/add", "value": names}]
    cluster.kubectl("patch", "daemonset", agent.RELEASE, "--namespace", agent.NAMESPACE, "--type=json", "--patch",
                    json.dumps(patch))


def ended_with(code, names):
    """What an agent with these capabilities has said, once one of its starts has ended so."""
    for pod in agent.pods():
        if pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] != names:
            continue
        states = [status[when] for status in pod["status"].get("containerStatuses", []) for when in ("state", "lastState")]
        if any(state.get("terminated", {}).get("exitCode") == code for state in states):
            # Between that question and this one it may have started once more.
            ask = ("logs", "--namespace", agent.NAMESPACE, pod["metadata"]["name"])
            return cluster.kubectl(*ask, "--previous", check=False) + cluster.kubectl(*ask, check=False)
    return None


def run(verdict):
    if not agent.is_installed():
        agent.prepare(verdict)
    capabilities = container()["securityContext"]["capabilities"]["add"]
    try:
        for name in capabilities:
            without(verdict, name, [each for each in capabilities if each != name])
    finally:
        set_capabilities(capabilities)
    verdict.step("with all of them it is ready again", lambda: cluster.wait_rollout(agent.NAMESPACE, f"daemonset/{agent.RELEASE}"))


def without(verdict, name, rest):
    set_capabilities(rest)
    if name in NEEDED:
        log = verdict.step(f"without {name} it ends with status {NO_PERMISSION}",
                           lambda: cluster.wait("the agent has ended", lambda: ended_with(NO_PERMISSION, rest), 120))
        verdict.check(f"without {name} its log says so", f"CAP_{name}" in log, log.strip()[-300:])
        return
    verdict.step(f"without {name} it runs", lambda: cluster.wait_rollout(agent.NAMESPACE, f"daemonset/{agent.RELEASE}"))
    log = cluster.kubectl("logs", "--namespace", agent.NAMESPACE, f"daemonset/{agent.RELEASE}")
    status = agent.status()
    verdict.check(f"without {name} its log says so", f"CAP_{name}" in log, log.strip()[-300:])
    verdict.check(f"without {name} its status says so", f"CAP_{name}" in status, status.strip()[-300:])
