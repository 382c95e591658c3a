# SPDX-License-Identifier: Apache-2.0
"""From one image to the next under load, and off the node: no hole, and nothing left."""
import os
import time

from lib import agent, cluster, oracle, shop
from lib.judge import Judge
from phases import identity

RATE = int(os.environ.get("KUBERNETES_RATE", "2000"))
# The kernel's own files on a bpffs end in .debug.
LEFT = """ls -A /sys/fs/bpf | grep -v '\\.debug$'; ls -d /run/tcptrail /var/lib/tcptrail 2>/dev/null; bpftool prog show | grep -i tcptrail; true"""


def upgrade():
    cluster.in_node("ctr", "--namespace", "k8s.io", "images", "tag", "--force", "localhost/tcptrail:test", "localhost/tcptrail:next")
    agent.install("image.tag=next")


def run(verdict):
    if not agent.is_installed():
        agent.prepare(verdict)
    since = verdict.step("three deployments are rolled out", lambda: shop.open_shop(RATE))
    time.sleep(5)
    verdict.step("helm test", agent.test)
    before = {pod["metadata"]["uid"] for pod in agent.pods()}
    verdict.step("helm upgrade to a second image", upgrade)
    after = {pod["metadata"]["uid"] for pod in agent.pods()}
    verdict.check("another pod than before", after and not after & before)
    time.sleep(10)
    shop.close_shop()
    report = verdict.step("all is delivered", identity.delivered)
    identity.judge(verdict, report, Judge(oracle.lines(), since))

    verdict.step("helm uninstall", agent.uninstall)
    left = cluster.in_node("sh", "-c", LEFT).split()
    verdict.check("nothing is left but the spool", left == ["/var/lib/tcptrail"], str(left))
    verdict.step("once more, spool.removeOnUninstall", lambda: agent.install("spool.removeOnUninstall=true"))
    verdict.step("helm uninstall, with the spool", agent.uninstall)
    left = cluster.in_node("sh", "-c", LEFT).split()
    verdict.check("nothing is left at all", not left, str(left))
