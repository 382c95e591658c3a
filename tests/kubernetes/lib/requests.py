# SPDX-License-Identifier: Apache-2.0
"""What the API server was asked, by its own audit log."""
import collections
import json

from lib import cluster

ACCOUNT = "system:serviceaccount:tcptrail:tcptrail"


class Requests:
    """Those of the agent's account since this was made. A request that nobody was known to make has no account: it is
    told by the program's name."""

    def __init__(self, account=ACCOUNT, agent="tcptrail"):
        self.account, self.agent = account, agent
        self.path = f"{cluster.WORK}/log/audit"
        with open(self.path, "rb") as file:
            self.begin = file.seek(0, 2)

    def count(self):
        """By verb, resource and status, the numbers of requests."""
        counts = collections.Counter()
        with open(self.path, "rb") as file:
            file.seek(self.begin)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                entry = json.loads(text)
                # A watch is entered when it begins and when it ends.
                if entry["stage"] == "ResponseStarted":
                    continue
                ours = entry["user"].get("username") == self.account or entry.get("userAgent", "").startswith(self.agent)
                if ours:
                    code = entry.get("responseStatus", {}).get("code", 0)
                    counts[entry["verb"], entry.get("objectRef", {}).get("resource", ""), code] += 1
        return counts


def say(counts):
    return ", ".join(f"{count} {verb} {resource} {code}" for (verb, resource, code), count in sorted(counts.items())) or "none"
