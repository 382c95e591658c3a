# SPDX-License-Identifier: Apache-2.0
"""Parts of the report that several workloads have: the three costs, and whether all was told."""
from lib import arms, triples


def slowdown(report, outcomes):
    """(a), with BPF statistics off, and (c)."""
    rows = [[each.name, each.slowdown_text(), each.told_text(), each.processor_text(), each.skipped]
            for each in outcomes.values()]
    report.table(["arm", "(a) slowdown: median (least to most)", "told", "(c) processor of the tool, us per end told",
                  "runs skipped"], rows)


def configuration(report, chosen):
    report.write("".join(f"* {arm.configuration()}\n" for arm in chosen))


def kernel(report, make_scene, chosen, cpus):
    """(b): what each program takes, less what an empty one does. In runs of their own: the statistics cost time."""
    measured = {arm.name: triples.kernel_time(make_scene, arm, cpus) for arm in chosen}
    empty = [each for each in measured.get("empty", ([], 0))[0] if each.name == "empty_state"]
    floor = empty[0].nanos / empty[0].runs if empty else 0
    rows = []
    for name, (programs, ends) in measured.items():
        for each in sorted(programs, key=lambda each: -each.nanos):
            reading = each.nanos / each.runs
            less = f"{max(reading - floor, 0):.0f}"
            rows.append([name, each.name, f"{reading:.0f}", less, f"{each.runs / ends:.2f}"])
        total = sum(each.nanos - floor * each.runs for each in programs) / ends
        rows.append([name, "all", "", f"{max(total, 0):.0f} ns per end", ""])
    what = f"an empty program reads {floor:.0f} ns, which is taken off" if floor else "no empty program beside it"
    report.write(f"(b) In the kernel, run_time_ns / run_cnt; {what}:\n")
    report.table(["arm", "program", "ns per run, read", "less the empty one", "runs per end"], rows)


def complete(report, outcomes, wanted):
    """Ours must have told all; what others told stands in the table. Emit only has one witness, and no sweep.

    And there must be as many triples as are wanted.
    """
    for each in outcomes.values():
        if each.name in arms.OURS:
            report.check(each.is_complete, f"{each.name} told {each.told} of {each.ends}, SNMP {each.opens}")
            report.check(len(each.ratios) >= wanted,
                         f"{each.name}: {len(each.ratios)} of {wanted} triples kept, {each.tried} tried")


def floors(outcomes, figure):
    """What our references and the peers have of a figure, in words."""
    others = (each for each in outcomes.values() if each.name not in arms.OURS and each.ratios)
    return "; ".join(f"{each.name} {figure(each):.3f}" for each in others)


def slowdown_goals(report, what, goal, outcomes):
    for name in arms.OURS:
        if name in outcomes:
            report.goal(f"{what}, {name}: slowdown", goal, outcomes[name].slowdown,
                        beside=floors(outcomes, lambda outcome: outcome.slowdown))
