# SPDX-License-Identifier: Apache-2.0
"""Which metrics and labels an expression of PromQL names. promtool says whether it is one at all."""
import collections
import re

TOKEN = re.compile(r"""(?P<string>"(?:[^"\\]|\\.)*") | (?P<range>\[[^\]]*\]) | (?P<number>\d[\w.]*) | (?P<name>[a-zA-Z_:][\w:]*)
                       | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^(){},=<>@]) | (?P<blank>\s+)""", re.VERBOSE)
AGGREGATIONS = {"avg", "bottomk", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum", "topk"}
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "atan2", "offset", "bool", "inf", "nan"}

# A metric as it is selected. matchers: [(label, value)]. is_range: [5m] follows.
Selector = collections.namedtuple("Selector", "metric matchers is_range")


def tokens(expression):
    """[(kind, text)], without blanks."""
    found, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if not match:
            raise ValueError(f"not PromQL at {expression[at:at + 20]!r}")
        if match.lastgroup != "blank":
            found.append((match.lastgroup, match.group()))
        at = match.end()
    return found


def read(expression):
    """(selectors, labels by which is grouped or joined)"""
    words, selectors, grouped, at = tokens(expression) + [("end", "")] * 2, [], set(), 0

    def until(sign):
        """The words up to `sign`, which is passed."""
        nonlocal at
        begin = at
        while words[at][1] != sign:
            at += 1
        at += 1
        return words[begin:at - 1]

    while words[at][0] != "end":
        kind, text = words[at]
        at += 1
        following = words[at][1]
        if kind == "sign" and text == "{":
            raise ValueError(f"a selector without a metric: {expression}")
        if kind != "name" or text in OPERATORS:
            continue
        if text in GROUPINGS:
            if following == "(":
                at += 1
                grouped |= {label for what, label in until(")") if what == "name"}
        elif following != "(" and text not in AGGREGATIONS:
            matchers = []
            if following == "{":
                at += 1
                inside = until("}")
                matchers = [(inside[i][1], inside[i + 2][1][1:-1]) for i in range(0, len(inside), 4)]
            selectors.append(Selector(text, matchers, words[at][0] == "range"))
    return selectors, grouped
