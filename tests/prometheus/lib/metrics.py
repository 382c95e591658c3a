# SPDX-License-Identifier: Apache-2.0
"""The metrics that there are: by agent/serve/metrics.md, which a unit test compares with the code."""
import re

OF_PROMETHEUS = {"up": "gauge", "ALERTS": "gauge", "scrape_samples_scraped": "gauge", "scrape_duration_seconds": "gauge"}
LABELS_OF_PROMETHEUS = {"job", "instance", "alertname", "alertstate", "severity", "le"}
# What of a histogram can be selected.
PARTS = ("_bucket", "_sum", "_count")


def known():
    """{name: type}, those of Prometheus itself among them; of histograms the parts."""
    with open("agent/serve/metrics.md", encoding="utf-8") as file:
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", file.read(), re.MULTILINE)
    names = dict(OF_PROMETHEUS)
    for name, kind in rows:
        names.update({name + part: "counter" for part in PARTS} if kind == "histogram" else {name: kind})
    return names


def labels():
    """All labels that the code writes, and Prometheus's own."""
    text = ""
    for name in ("agent_metrics.cc", "host_metrics.cc", "connection_metrics.cc"):
        with open(f"agent/serve/{name}", encoding="utf-8") as file:
            text += file.read()
    found = set(re.findall(r'(?:\badd|\blabel)\(\s*"(\w+)"', text)) | set(re.findall(r'\bwith\(set\.labels, "(\w+)"', text))
    with open("agent/serve/options.h", encoding="utf-8") as file:
        chosen = re.search(r"label_names\[\] = \{(.*?)\};", file.read(), re.DOTALL).group(1)
    return found | set(re.findall(r'"(\w+)"', chosen)) | LABELS_OF_PROMETHEUS
