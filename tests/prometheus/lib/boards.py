# SPDX-License-Identifier: Apache-2.0
"""The dashboards of deploy/grafana, as much of them as can be judged without Grafana."""
import collections
import glob
import json
import re

# One query of a panel. is_instant: of a moment, else over time.
Query = collections.namedtuple("Query", "board panel expression legend is_instant")

BUILT_IN = ("__rate_interval", "__range", "__interval")


class Board:
    def __init__(self, path):
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.json = json.loads(self.text)
        self.uid, self.title = self.json["uid"], self.json["title"]
        self.variables = {each["name"]: each for each in self.json["templating"]["list"]}
        self.panels = [panel for panel in self.json["panels"] if panel["type"] != "row"]

    def queries(self):
        return [Query(self, panel, target["expr"], target["legendFormat"], target.get("instant", False))
                for panel in self.panels for target in panel["targets"]]


def read_all():
    return [Board(path) for path in sorted(glob.glob("deploy/grafana/*.json"))]


def used_variables(expression):
    return set(re.findall(r"\$\{?(\w+)", expression))


def substitute(expression, values, rate_interval="5m", range_="1h"):
    """As Grafana does; `values` of the board's variables, as regular expressions: all that are not there are All (.*)."""
    known = {"__rate_interval": rate_interval, "__range": range_, "__interval": rate_interval, **values}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found.group(1), ".*"), expression)
