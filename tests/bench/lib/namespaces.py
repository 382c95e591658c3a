# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that live as long as a process of ours."""
import os
import subprocess

from lib.host import output_of


class Namespace:
    """With its loopback up. A context manager."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep inf"],
                                       stdout=subprocess.PIPE, text=True)
        self.holder.stdout.readline()
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.enter = ["nsenter", f"--net={self.path}"]
        self.inode = os.stat(self.path).st_ino

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def run(self, *words):
        return output_of(self.enter + list(words))

    def read(self, file, protocol):
        with open(f"/proc/{self.holder.pid}/net/{file}", encoding="ascii") as lines:
            names, values = (line.split()[1:] for line in lines if line.startswith(protocol + ":"))
        return dict(zip(names, map(int, values)))

    def counters(self):
        """The kernel's, of SNMP."""
        return self.read("snmp", "Tcp")

    def extended(self):
        """And those that Linux has beside."""
        return self.read("netstat", "TcpExt")

    def opens(self):
        counters = self.counters()
        return counters["ActiveOpens"] + counters["PassiveOpens"]


class Pair:
    """A client's and a server's namespace with a veth between them; the server has all addresses of 10.88.0.0/16."""

    client_address = "10.89.0.1"
    server_address = "10.88.0.1"

    def __init__(self):
        self.client, self.server = Namespace(), Namespace()
        try:
            self.client.run("ip", "link", "add", "left", "type", "veth", "peer", "name", "right", "netns",
                            str(self.server.holder.pid))
            self.client.run("ip", "address", "add", f"{self.client_address}/24", "dev", "left")
            self.client.run("ip", "link", "set", "left", "up")
            self.server.run("ip", "link", "set", "right", "up")
            self.client.run("ip", "route", "add", "10.88.0.0/16", "dev", "left")
            self.server.run("ip", "route", "add", "10.89.0.0/24", "dev", "right")
            # Each of them is its own, so that one client has many servers to connect to.
            self.server.run("ip", "route", "add", "local", "10.88.0.0/16", "dev", "lo")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (self.client, self.server):
            each.__exit__()

    def opens(self):
        return self.client.opens() + self.server.opens()
