# SPDX-License-Identifier: Apache-2.0
"""Slowdown, told and processor time of arms, in triples base - with the arm - base.

A triple whose bases differ by more than 6 % is dropped. The arms take turns, and the one that begins changes. It goes
on until each arm has as many triples as wanted, or has been tried too often.
"""
import collections
import dataclasses
import statistics

from lib import costs

MOST_BASE_DIFFERENCE = 0.06
# Two of 1,288,000 were seen while 13 of 10,000 records were told in part for that reason.
MOST_UNSEEN = 1e-5
MOST_TRIES = 3  # times as many triples as wanted

# cost: what one unit of the work took; ends, opens: how many there were by the generator and by the kernel.
Run = collections.namedtuple("Run", "cost ends opens")


def bound_text(missing, count):
    """What none missing says of how many may be, and which are missing otherwise."""
    if missing or not count:
        return f"{missing} missing"
    return f"missing less than {3 / count:.1e} (95 %)"


@dataclasses.dataclass
class Outcome:
    """Of one arm."""
    name: str
    has_witness: bool = True  # besides the kernel somebody knows how many ends there were
    ratios: list = dataclasses.field(default_factory=list)
    tried: int = 0
    ends: int = 0
    opens: int = 0
    told: int | None = 0
    lost: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    skipped: int = 0
    seconds: float = 0
    miscounted: int = 0  # runs that told of more than there was, or of which generator and kernel do not agree

    def add(self, before, during, after, told):
        self.tried += 1
        self.ends += during.ends
        self.opens += during.opens
        self.told = None if told.ends is None else self.told + told.ends
        self.lost.update(told.lost)
        self.miscounted += during.ends != during.opens or (told.ends or 0) > during.ends
        base = (before.cost + after.cost) / 2
        if abs(before.cost - after.cost) <= MOST_BASE_DIFFERENCE * base:
            self.ratios.append(during.cost / base)

    @property
    def slowdown(self):
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def unseen(self):
        """Ends of connections of which no hook saw anything (tests/kernel/README.md, "The blind spot")."""
        return self.ends - self.told

    @property
    def is_complete(self):
        """Told of each end, no more and no less, by three counts, but for what can be in the blind spot."""
        if self.told is None or self.lost or self.miscounted:
            return False
        return 0 <= self.unseen <= MOST_UNSEEN * self.ends

    def slowdown_text(self):
        kept = f"{len(self.ratios)} of {self.tried} kept"
        if not self.ratios:
            return f"too noisy ({kept})"
        return f"{self.slowdown:.3f} ({min(self.ratios):.3f} to {max(self.ratios):.3f}; {kept})"

    def told_text(self):
        if self.told is None:
            return "tells nothing"
        lost = ", ".join(f"{count} {reason}" for reason, count in self.lost.items()) or "0"
        counted = f"SNMP {self.opens}" if self.has_witness else "by SNMP, the only count"
        return f"{self.told} of {self.ends}, {counted}; says lost: {lost}; {bound_text(self.unseen, self.ends)}"

    def processor_text(self):
        return f"{1e6 * self.seconds / self.told:.2f}" if self.told else "-"


def run_with(arm, scene, cpus, outcome=None):
    """One run of the scene beside the arm, which is started and stopped. Returns it, and what was told."""
    if arm is None:
        return scene.run(), None
    arm.start(scene, cpus)
    try:
        costs.await_idle(arm.pid)
        before = costs.processor_seconds(arm.pid)
        during = scene.run()
        costs.await_idle(arm.pid)
        if outcome:
            outcome.seconds += costs.processor_seconds(arm.pid) - before
            outcome.skipped += costs.skipped_runs(arm.pid)
        told = arm.stop()
    except BaseException:
        arm.kill()
        raise
    return during, told


def triple(scene, base, arm, cpus, outcome):
    before, _ = run_with(base, scene, cpus)
    during, told = run_with(arm, scene, cpus, outcome)
    after, _ = run_with(base, scene, cpus)
    outcome.add(before, during, after, told)


def measure(make_scene, arms, cpus, wanted, base=None, progress=lambda outcome: None, has_witness=True):
    """{name of the arm: Outcome}. make_scene() gives a context manager whose value has run(), netns, inodes and marks."""
    outcomes = {arm.name: Outcome(arm.name, has_witness) for arm in arms}
    for turn in range(MOST_TRIES * wanted):
        first = turn % len(arms)
        left = [arm for arm in arms[first:] + arms[:first] if len(outcomes[arm.name].ratios) < wanted]
        for arm in left:
            with make_scene() as scene:
                triple(scene, base, arm, cpus, outcomes[arm.name])
            progress(outcomes[arm.name])
        if not left:
            break
    return outcomes


def empty_reading(make_scene, arm, cpus):
    """ns of a run of a program that does nothing, as the kernel measures it: `arm` is arms.Empty."""
    programs, _ = kernel_time(make_scene, arm, cpus)
    return next((each.nanos / each.runs for each in programs if each.name == "empty_state"), 0)


def kernel_time(make_scene, arm, cpus):
    """Readings of the arm's programs, measured by the kernel during one run; and how many ends that run had."""
    with make_scene() as scene, costs.statistics():
        arm.start(scene, cpus)
        try:
            before = costs.readings(arm.pid)
            run = scene.run()
            after = costs.readings(arm.pid)
            arm.stop()
        except BaseException:
            arm.kill()
            raise
    return list(costs.since(before, after)), run.ends
