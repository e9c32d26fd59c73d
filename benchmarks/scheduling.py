"""The shipped scheduler on a virtual clock: recorded arrivals, a stated mix of searches.

    python benchmarks/scheduling.py FOLDER [--load 0.85] [--load 1.1] [--requests 3000] [--seed 0]
        [--step 16]

FOLDER holds `mooncake_conversation.jsonl.gz` (Mooncake, FAST'25, Apache-2.0): arrivals and output
lengths of a chat service. Arrivals are stretched to the load that is asked for. Each request is one
program: 70 % one answer (tier `interactive`), 20 % best of 8, 8 % a beam of 8 over 4 waves, 2 % 8
waves of 8 (tier `standard`), three tenants, one of which sends 80 % of the last two kinds. Every
call takes its request's output length, a step of a beam a quarter of it, times a lognormal jitter
of sigma 0.25; 32 slots of 40 tokens a second; reading prompts costs nothing. Where a step ends,
every `--step` tokens, a call may be paused. Simulated, not served.

`told all` is no scheduler that could be had: it knows every length before it comes, and gives the
slots, step by step, to the programs that have least to come (shortest remaining time first).

Slowdown is latency over the latency alone on the machine. The fair time of a program is its latency
if at every moment all tenants shared the slots equally, and a tenant's programs its part (processor
sharing).
"""

import argparse
import gzip
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Protocol, TypeVar

from mull.policies.scheduling import CallQueue, Program, Ticket, Tier

K = TypeVar("K")

SLOTS = 32
RATE = 40.0
RESERVED = 3
JITTER = 0.25
LONG = 5.0
"""Seconds of fair time from which on a ratio to it says more than the wait for a slot does."""
MIX = ((0.70, 1, 1, 1), (0.20, 1, 8, 1), (0.08, 4, 8, 4), (0.02, 8, 8, 1))
"""Share, waves, width, and what a call is shorter by."""


@dataclass(slots=True, eq=False)
class Job:
    """One request: waves of calls, each as long as its tokens."""

    arrival: float
    waves: list[list[float]]
    tenant: str
    is_single: bool
    wave: int = 0
    num_left: int = 0
    ended: float = 0.0
    fair: float = 0.0
    """Latency under processor sharing."""

    @property
    def tokens(self) -> float:
        return sum(map(sum, self.waves))

    @property
    def alone(self) -> float:
        """Latency on the empty machine: no wave is wider than it."""
        return sum(max(wave) for wave in self.waves) / RATE


def jobs_of(path: Path, num_requests: int, load: float, seed: int) -> list[Job]:
    """The workload; deterministic."""
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(num_requests), strict=False)]
    chance = random.Random(seed)
    jobs = list[Job]()
    for row in rows:
        _, waves, width, part = chance.choices(MIX, [share for share, *_ in MIX])[0]
        length = max(1, row["output_length"]) / part
        calls = [
            [length * chance.lognormvariate(0, JITTER) for _ in range(width)] for _ in range(waves)
        ]
        heavy = waves > 1 and chance.random() < 0.8
        tenant = "heavy" if heavy else chance.choice(["heavy", "b", "c"])
        jobs.append(Job(row["timestamp"] / 1000, calls, tenant, waves == width == 1))
    busy = sum(job.tokens for job in jobs) / RATE / SLOTS
    stretch = busy / load / (jobs[-1].arrival - jobs[0].arrival)
    for job in jobs:
        job.arrival *= stretch
    return jobs


@dataclass(slots=True, eq=False)
class Call:
    """One call of a job."""

    job: Job
    left: float
    """Tokens still to come."""
    ticket: Ticket | None = None


class Order(Protocol):
    """Who is next."""

    def add(self, call: Call) -> None: ...
    def start(self) -> list[Call]: ...
    def goes_on(self, call: Call, tokens: float) -> bool:
        """Told of a step that has ended; False if the call waits again."""
        ...

    def end(self, call: Call, tokens: float) -> None: ...


@dataclass(slots=True)
class Ours:
    """The shipped queue."""

    can_pause: bool = True
    queue: CallQueue = field(default_factory=lambda: CallQueue(SLOTS, num_reserved=RESERVED))
    programs: dict[Job, Program] = field(default_factory=dict[Job, Program])
    calls: dict[Ticket, Call] = field(default_factory=dict[Ticket, Call])
    seconds: float = 0.0
    num_decisions: int = 0
    num_pauses: int = 0
    most_waiting: int = 0

    def add(self, call: Call) -> None:
        job = call.job
        if job not in self.programs:
            tier = Tier.INTERACTIVE if job.is_single else Tier.STANDARD
            kind = f"{len(job.waves)} by {len(job.waves[0])}"
            self.programs[job] = self.queue.program(job.tenant, tier, kind=kind)
        call.ticket = self.queue.submit(self.programs[job], 4096)
        self.calls[call.ticket] = call

    def start(self) -> list[Call]:
        self.most_waiting = max(self.most_waiting, self.queue.num_waiting)
        before = time.thread_time()
        tickets = self.queue.dispatch()
        self.seconds += time.thread_time() - before
        self.num_decisions += len(tickets)
        return [self.calls[ticket] for ticket in tickets]

    def goes_on(self, call: Call, tokens: float) -> bool:
        assert call.ticket is not None  # noqa: S101
        self.queue.deliver(call.ticket, tokens)
        if not self.can_pause or not self.queue.gives_way(call.ticket):
            return True
        self.queue.pause(call.ticket)
        self.num_pauses += 1
        return False

    def end(self, call: Call, tokens: float) -> None:
        assert call.ticket is not None  # noqa: S101
        del self.calls[call.ticket]
        self.queue.deliver(call.ticket, tokens)
        self.queue.finish(call.ticket)
        if call.job.num_left == 1 and call.job.wave == len(call.job.waves) - 1:
            self.queue.close(self.programs[call.job])


@dataclass(slots=True)
class Fifo:
    """Calls as they come; `by_request`: all calls of the request that came first."""

    by_request: bool
    waiting: list[tuple[float, int, Call]] = field(default_factory=list[tuple[float, int, Call]])
    free: int = SLOTS
    count: int = 0

    def add(self, call: Call) -> None:
        self.count += 1
        first = call.job.arrival if self.by_request else float(self.count)
        heappush(self.waiting, (first, self.count, call))

    def start(self) -> list[Call]:
        started = list[Call]()
        while self.free and self.waiting:
            started.append(heappop(self.waiting)[2])
            self.free -= 1
        return started

    def goes_on(self, call: Call, tokens: float) -> bool:  # noqa: ARG002
        return True

    def end(self, call: Call, tokens: float) -> None:  # noqa: ARG002
        self.free += 1


@dataclass(slots=True)
class ToldAll:
    """Whatever has least to come goes first, later waves and all; no tenants, no tiers."""

    left: dict[Job, float] = field(default_factory=dict[Job, float])
    waiting: dict[Job, list[Call]] = field(default_factory=dict[Job, list[Call]])
    free: int = SLOTS

    def add(self, call: Call) -> None:
        self.left.setdefault(call.job, call.job.tokens)
        self.waiting.setdefault(call.job, []).append(call)

    def start(self) -> list[Call]:
        started = list[Call]()
        while self.free and self.waiting:
            job = self._next()
            started.append(self.waiting[job].pop())
            if not self.waiting[job]:
                del self.waiting[job]
            self.free -= 1
        return started

    def goes_on(self, call: Call, tokens: float) -> bool:
        self.left[call.job] -= tokens
        if not self.waiting or self.left[self._next()] >= self.left[call.job]:
            return True
        self.waiting.setdefault(call.job, []).append(call)
        self.free += 1
        return False

    def end(self, call: Call, tokens: float) -> None:
        self.left[call.job] -= tokens
        self.free += 1

    def _next(self) -> Job:
        return min(self.waiting, key=lambda job: (self.left[job], job.arrival))


@dataclass(slots=True)
class Machine:
    """Slots that take one token after another, and a clock."""

    order: Order
    step: float
    events: list[tuple[float, int, Job, Call | None, float]] = field(
        default_factory=list[tuple[float, int, Job, "Call | None", float]]
    )
    number: int = 0

    def simulate(self, jobs: Sequence[Job]) -> None:
        """Run all jobs to their ends."""
        self.number = len(jobs)
        self.events = [(job.arrival, index, job, None, 0.0) for index, job in enumerate(jobs)]
        heapify(self.events)
        while self.events:
            now, _, job, call, tokens = heappop(self.events)
            if call is None:
                self.ask(job)
            else:
                self.take(call, tokens, now)
            if not self.events or self.events[0][0] != now:
                for started in self.order.start():
                    self.run(started, now)

    def ask(self, job: Job) -> None:
        job.num_left = len(job.waves[job.wave])
        for tokens in job.waves[job.wave]:
            self.order.add(Call(job, tokens))

    def run(self, call: Call, now: float) -> None:
        """Start a step."""
        self.number += 1
        tokens = min(self.step, call.left)
        heappush(self.events, (now + tokens / RATE, self.number, call.job, call, tokens))

    def take(self, call: Call, tokens: float, now: float) -> None:
        """A step has ended."""
        job = call.job
        call.left -= tokens
        if call.left > 0:
            if self.order.goes_on(call, tokens):
                self.run(call, now)
            return
        self.order.end(call, tokens)
        job.num_left -= 1
        if not job.num_left:
            job.wave, job.ended = job.wave + 1, now
            if job.wave < len(job.waves):
                self.ask(job)


def share_fairly(jobs: Sequence[Job]) -> None:
    """Set every job's `fair`, on a machine that can be divided at will."""
    coming = deque(sorted(jobs, key=lambda job: job.arrival))
    left = dict[Job, tuple[int, list[float]]]()
    now = 0.0
    while coming or left:
        if not left:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            job = coming.popleft()
            left[job] = (0, sorted(job.waves[0]))
        rates = _rates({job: len(calls) for job, (_, calls) in left.items()})
        wait = min(calls[0] / rates[job] for job, (_, calls) in left.items())
        if coming:
            wait = min(wait, coming[0].arrival - now)
        now += wait
        for job in list(left):
            wave, calls = left[job]
            rest = [each - wait * rates[job] for each in calls]
            rest = [each for each in rest if each > 1e-9]
            if not rest:
                wave += 1
                if wave == len(job.waves):
                    job.fair = now - job.arrival
                    del left[job]
                    continue
                rest = sorted(job.waves[wave])
            left[job] = (wave, rest)


def _rates(widths: dict[Job, int]) -> dict[Job, float]:
    """Tokens a second of each call: slots dealt out equally to tenants, then to their jobs."""
    tenants = dict[str, dict[Job, float]]()
    for job, width in widths.items():
        tenants.setdefault(job.tenant, {})[job] = width
    total = {name: sum(jobs.values()) for name, jobs in tenants.items()}
    rates = dict[Job, float]()
    for name, slots in _dealt(SLOTS, total).items():
        for job, mine in _dealt(slots, tenants[name]).items():
            rates[job] = RATE * mine / widths[job]
    return rates


def _dealt(slots: float, wanted: Mapping[K, float]) -> dict[K, float]:
    """Equal parts, none larger than what is wanted; what one leaves is dealt to the others."""
    parts = dict[K, float]()
    for count, (each, width) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        parts[each] = min(width, slots / (len(wanted) - count))
        slots -= parts[each]
    return parts


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report(name: str, jobs: Sequence[Job]) -> None:
    """One row."""
    singles = [job for job in jobs if job.is_single]
    searches = [job for job in jobs if not job.is_single]
    slowdowns = [(job.ended - job.arrival) / job.alone for job in jobs]
    ideal = percentile([job.alone for job in singles], 0.99)
    p99 = percentile([job.ended - job.arrival for job in singles], 0.99)
    worst = max((job.ended - job.arrival) / job.fair for job in jobs if job.fair >= LONG)
    late = max(job.ended - job.arrival - job.fair for job in jobs if job.fair < LONG)
    say(
        f"  {name:<20} mean slowdown {statistics.fmean(slowdowns):6.2f} | "
        f"interactive p99 {p99:6.1f} s, {p99 / ideal:5.2f} of ideal | searches p99 "
        f"{percentile([job.ended - job.arrival for job in searches], 0.99):6.0f} s | worst "
        f"{worst:6.2f} of its fair time; shorter ones at most {late:6.1f} s late"
    )


def main() -> None:
    """Replay at each load."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--load", type=float, action="append")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=float, default=32)
    options = parser.parse_args()
    for load in options.load or [0.85, 1.1]:
        replay(options.folder / "mooncake_conversation.jsonl.gz", load, options)


def replay(path: Path, load: float, options: argparse.Namespace) -> None:
    """Every order at one load."""

    def fresh() -> list[Job]:
        return jobs_of(path, options.requests, load, options.seed)

    shared = fresh()
    share_fairly(shared)
    fair = statistics.fmean(job.fair / job.alone for job in shared)
    say(
        f"load {load}, {options.requests} requests, seed {options.seed}, steps of "
        f"{options.step:g} tokens; processor sharing: mean slowdown {fair:.2f}"
    )
    ours = Ours()
    orders: dict[str, Order] = {
        "first come, request": Fifo(by_request=True),
        "first in, call": Fifo(by_request=False),
        "mull, whole calls": Ours(can_pause=False),
        "mull": ours,
        "told all": ToldAll(),
    }
    for name, order in orders.items():
        jobs = fresh()
        for job, same in zip(jobs, shared, strict=True):
            job.fair = same.fair
        Machine(order, options.step).simulate(jobs)
        report(name, jobs)
    say(
        f"  {ours.seconds / ours.num_decisions * 1e6:.1f} µs a decision, at most "
        f"{ours.most_waiting} calls waiting, {ours.num_pauses / len(shared):.1f} pauses a request"
    )


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
