# SPDX-License-Identifier: Apache-2.0
"""Pictures of the report, as SVG."""
import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402: the kind of output is chosen before

from lib.host import FOLDER  # noqa: E402

matplotlib.rcParams["svg.hashsalt"] = "tcptrail"  # the same figures give the same file


def save(figure, name):
    figure.tight_layout()
    figure.savefig(f"{FOLDER}/{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
    return f"{name}.svg"


def slowdown(name, title, outcomes):
    """A bar for each arm: the median, from the least to the most."""
    known = [outcome for outcome in outcomes if outcome.ratios]
    medians = [outcome.slowdown for outcome in known]
    spread = [[median - min(outcome.ratios) for outcome, median in zip(known, medians)],
              [max(outcome.ratios) - median for outcome, median in zip(known, medians)]]
    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.45 * max(len(known), 1)))
    bars = axes.barh([outcome.name for outcome in known], medians, xerr=spread, capsize=3)
    axes.bar_label(bars, labels=[f"{median:.2f}" for median in medians], padding=4)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlim(0, 1.12 * max([1, *(max(outcome.ratios) for outcome in known)]))
    axes.invert_yaxis()
    axes.set_xlabel("time of the same work, without tracing = 1")
    axes.set_title(title)
    return save(figure, name)


def lines(name, title, across, up, series):
    """series: {label: [(x, y)]}; x is on a logarithmic scale."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for label, points in series.items():
        axes.plot(*zip(*points), marker="o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title)
    axes.legend()
    return save(figure, name)
