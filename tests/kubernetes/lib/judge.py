# SPDX-License-Identifier: Apache-2.0
"""What was told, against what was done: each event of the load beside the line that the pod itself wrote.

An event is of a line if role and both addresses are the same, and it is the nearest in time, of the same outcome if there
is one: ports come again. An attempt that failed has no port in its line, the kernel does not tell it: then it is one of those
of its pod to that address. The event is right, or says in `partial` which part of the identity it lacks, or it is wrong. What
has no line is of a container that was killed, which lost the lines of what it had open: then it must be of a pod that had the
address.
"""
import collections

from lib import shop

# Between the line's time, which is taken by the workload, and the kernel's.
NEAR_NANOS = 5_000_000_000
# What one who was killed cannot have seen: whether its peer was first.
ENDS = {"KILLED": ("LOCAL_CLOSE", "REMOTE_CLOSE")}
# A hook did not see a part of it (tests/kernel/README.md, "The blind spot"), and the event says so.
BLIND = {"PARTIAL_BIRTH_MISSED", "PARTIAL_END_MISSED",
         "PARTIAL_STATE_CHANGES_MISSED"}
FLAGS = {
    "pod": "PARTIAL_POD_UNKNOWN",
    "namespace": "PARTIAL_POD_UNKNOWN",
    "container": "PARTIAL_CONTAINER_UNKNOWN",
    "workload": "PARTIAL_WORKLOAD_UNKNOWN",
    "workload_kind": "PARTIAL_WORKLOAD_UNKNOWN",
}
# Two ports for each server: its own, and one that refuses.
PORTS = {port + more for port in shop.PORTS.values() for more in (0, 1)}


def workload_of(pod):
    """Names of pods are <deployment>-<hash>-<id>."""
    return pod.rsplit("-", 2)[0]


def short(event):
    """What one needs of an event that is not right, on one line."""
    of = {name: event.get(name) for name in ("role", "local_address", "local_port", "remote_address", "remote_port", "outcome",
                                             "end", "error_number", "reset", "timeline", "kubernetes", "partial", "opened_unix_nanos")}
    process = event.get("process", {})
    return {**of, "process": process.get("name"), "cgroup": process.get("cgroup_path"), "source": process.get("source")}


class Judge:
    """Takes events one by one. `kinds` counts what they are, `examples` has the first few of each kind that is not right."""

    def __init__(self, lines, since):
        self.since = since  # events of connections that are older are of another load
        self.waiting = collections.defaultdict(list)  # lines, by role and both addresses
        self.unbound = collections.defaultdict(list)  # lines without a port, by pod and remote address
        self.owners = collections.defaultdict(set)  # uids of the pods that had an address
        self.lines = self.unbound_lines = 0
        for line in lines:
            self.lines += 1
            if line.local_port == 0:
                self.unbound_lines += 1
                self.unbound[line.uid, line.remote, line.remote_port].append(line)
            else:
                self.owners[line.local].add(line.uid)
                self.waiting[line.role, line.local, line.local_port, line.remote, line.remote_port].append(line)
        self.kinds = collections.Counter()
        self.outcomes = collections.Counter()  # of the lines that have their event
        self.flags = collections.Counter()
        self.blind = 0  # whose outcome or end is told otherwise, and which say that a hook did not see all
        self.ends = collections.Counter()  # outcomes and ends that are told otherwise than the line has them
        self.examples = collections.defaultdict(list)
        self.waited = []  # nanoseconds from the end until it was told

    def note(self, kind, event, why=""):
        self.kinds[kind] += 1
        self.show(kind, event, why)

    def show(self, kind, event, why):
        if kind != "right" and len(self.examples[kind]) < 3:
            self.examples[kind].append(f"{why} {short(event)}")

    def line_of(self, event):
        """Takes it away from the lines. An event has no role where no hook saw its beginning: the ports tell."""
        ends = (event["local_address"], event.get("local_port", 0), event["remote_address"], event["remote_port"])
        roles = [event["role"].removeprefix("ROLE_")] if "role" in event else ["CLIENT", "SERVER"]
        key = next((key for role in roles if self.waiting.get(key := (role, *ends))), (roles[0], *ends))
        at = int(event.get("opened_unix_nanos", event.get("ended_unix_nanos", 0)))
        uid = event.get("kubernetes", {}).get("pod_uid")
        failed = self.unbound.get((uid, *key[3:])) if key[0] == "CLIENT" else None
        if key[0] == "SERVER" and event.get("outcome") != "OUTCOME_ESTABLISHED":
            return None  # it was never accepted, and nobody wrote a line
        near = [(lines, line) for lines in (self.waiting.get(key), failed) for line in lines or []
                if abs(line.opened - at) <= NEAR_NANOS]
        if not near:
            return None
        # A port that was refused may come again within that time, to the same address.
        outcome = event.get("outcome", "").removeprefix("OUTCOME_")
        lines, line = min(near, key=lambda each: (each[1].outcome != outcome, abs(each[1].opened - at)))
        lines.remove(line)
        return line

    def is_of_the_load(self, event):
        """The machine has other connections, and so have the node's daemons."""
        began = int(event.get("opened_unix_nanos", event["emitted_unix_nanos"]))
        return (event["kind"] == "EVENT_KIND_CLOSED" and began >= self.since
                and not PORTS.isdisjoint((event.get("local_port"), event["remote_port"])))

    def take(self, event):
        if not self.is_of_the_load(event):
            return
        if "ended_unix_nanos" in event:
            self.waited.append(int(event["emitted_unix_nanos"]) - int(event["ended_unix_nanos"]))
        line = self.line_of(event)
        if line is None:
            self.take_without_line(event)
        else:
            self.compare_end(event, line)
            self.compare_owner(event, line)

    def compare_end(self, event, line):
        self.outcomes[line.role, line.outcome, line.end] += 1
        outcome, end = event.get("outcome", "").removeprefix("OUTCOME_"), event.get("end", "").removeprefix("END_")
        if outcome == line.outcome and end in ENDS.get(line.end, (line.end,)):
            return
        kind = f"{line.role} {line.outcome} {line.end} (errno {line.error}), told: {outcome} {end}"
        if blind := BLIND.intersection(event.get("partial", [])):
            self.flags.update(blind)
            self.blind += 1
            self.show(f"not seen, and says so: {kind}", event, line)
            return
        self.ends[kind] += 1
        self.show(kind, event, line)

    def compare_owner(self, event, line):
        told, partial = event.get("kubernetes", {}), set(event.get("partial", []))
        expected = {"pod": line.pod, "pod_uid": line.uid, "namespace": line.namespace, "container": line.container,
                    "workload_kind": "Deployment", "workload": workload_of(line.pod)}
        wrong = [name for name, value in expected.items() if told.get(name) not in (value, None)]
        absent = [name for name in expected if name not in told]
        unsaid = [name for name in absent if FLAGS.get(name) not in partial]
        if wrong:
            self.note("wrong", event, f"{wrong}; {line}")
        elif unsaid:
            self.note("absent, and no flag", event, f"{unsaid}; {line}")
        elif absent:
            self.flags.update({FLAGS[name] for name in absent})
            self.note("flagged", event)
        else:
            self.note("right", event)

    def take_without_line(self, event):
        uid = event.get("kubernetes", {}).get("pod_uid")
        if uid in self.owners[event["local_address"]]:
            self.note("without a line, of a pod with that address", event)
        elif uid is None and "PARTIAL_POD_UNKNOWN" in event.get("partial", []):
            self.note("without a line, flagged", event)
        elif event.get("role") == "ROLE_SERVER" and event.get("process", {}).get("source") != "OWNER_SOURCE_ACCEPT":
            # Nobody had accepted it when the server ended.
            self.note("without a line, never accepted", event)
        else:
            self.note("without a line, of another", event, f"the address was had by {self.owners[event['local_address']]}")

    def delays(self):
        """Milliseconds: the median, 99 %, the most."""
        order = sorted(self.waited) or [0]
        return [order[min(len(order) - 1, int(len(order) * part))] / 1e6 for part in (0.5, 0.99, 1)]

    def untold(self):
        """Lines without an event."""
        return [line for some in (self.waiting, self.unbound) for lines in some.values() for line in lines]
