# SPDX-License-Identifier: Apache-2.0
"""W5: packets are lost on a veth. Is what tcptrail says was retransmitted what the kernel has counted?

By connection: TCP_INFO's tcpi_total_retrans, which is the number that `ss -ti` shows, read when all is acknowledged.
In sum: RetransSegs of both namespaces, in which SYN-ACKs of attempts are, too.
"""
import csv
import json
import os
import subprocess
import sys

from lib import arms
from lib.host import BUILD, CPUS, output_of
from lib.namespaces import Pair

BYTES = 2_000_000
PERMILLE = 20


class Observer(arms.Tcptrail):
    """Of both namespaces, with all that it knows."""

    def command(self):
        return [f"{BUILD}/tcptrail", "observe", "-o", "csv", "--address", "10.88.0.0/16"]

    def result(self):
        account = super().result()
        with open(self.path, encoding="utf-8", newline="") as file:
            self.rows = list(csv.DictReader(file))
        return account


class Scene:
    marks = []

    def __init__(self, pair):
        self.netns = pair.client.inode


def lose(namespace):
    chain = "add table inet loss; add chain inet loss in { type filter hook input priority 0; };"
    namespace.run("nft", f"{chain} add rule inet loss in meta l4proto tcp numgen random mod 1000 < {PERMILLE} drop")


def transfer(pair, connections):
    """{local port of the client: segments that its kernel has sent again}"""
    script = f"{os.path.dirname(__file__)}/../transfer.py"
    return json.loads(output_of([sys.executable, script, pair.client.path, pair.server.path, pair.server_address,
                                 str(connections), str(BYTES)], timeout=600))


def run(options, report):
    report.begin("W5 loss", f"{options.transfers} connections of {BYTES} bytes; {PERMILLE / 10:g} % of the packets "
                 "dropped at either end (nftables).")
    with Pair() as pair:
        tool = Observer()
        tool.start(Scene(pair), ",".join(map(str, CPUS)))
        try:
            for namespace in (pair.client, pair.server):
                lose(namespace)
            true = transfer(pair, options.transfers)
            for namespace in (pair.client, pair.server):
                namespace.run("nft", "delete table inet loss")
            subprocess.run(["sleep", "3"], check=True)  # for FINs that are sent again
            told = tool.stop()
        except BaseException:
            tool.kill()
            raise
        opens = pair.opens()
        sent_again = sum(each.counters()["RetransSegs"] for each in (pair.client, pair.server))
        synacks = sum(each.extended()["TCPSynRetrans"] for each in (pair.client, pair.server))
    clients = {row["local_port"]: int(row["retransmits"] or 0) for row in tool.rows if row["role"] == "CLIENT"}
    wrong = {port: (count, clients.get(port)) for port, count in true.items() if clients.get(port) != count}
    in_sum = sum(int(row["retransmits"] or 0) for row in tool.rows)
    rows = [["tcptrail, both ends", in_sum], ["RetransSegs, both namespaces", sent_again],
            ["of these SYNs and SYN-ACKs", synacks], ["TCP_INFO, clients", sum(true.values())],
            ["tcptrail, clients", sum(clients.values())]]
    report.table(["by", "retransmits"], rows)
    report.check(told.ends == opens and not told.lost, f"told {told.ends}, SNMP {opens}")
    report.check(sum(true.values()) > 0, "packets were lost")
    # Those of attempts are counted for the socket that they belong to, if there is one yet.
    report.check(sent_again - synacks <= in_sum <= sent_again, f"in sum {in_sum}, RetransSegs {sent_again - synacks} to {sent_again}")
    report.check(not wrong, f"{len(true) - len(wrong)} of {len(true)} clients as the kernel counted"
                 + "".join(f"; port {port}: {pair[0]}, told {pair[1]}" for port, pair in list(wrong.items())[:3]))
    report.end()
