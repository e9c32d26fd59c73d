"""Where the engine's time goes, and how far each workload is from what the machine could do.

    python benchmarks/engine_profile.py [--workload best-of-64 --workload tree --workload one]

The model of `mull bench engine` in this process, on one thread, in fp32. A workload is run once to
warm up and once under torch's profiler. The table shares out its CPU time among torch's operations
and what is in none (Python, numpy, the profiler). Below it stand two times that nothing on this
machine could beat: all FLOPs at the matrix rate at 64 rows, and the weights read once a turn at the
memory rate, both measured in the same run. Last come the small products that decided how private
blocks lie in memory.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from mull.core.expansion import Sampling
from mull.engine import EngineSettings, Punctuation, Request
from mull.engine.batch import Batch
from mull.engine.blocks import BLOCK
from mull.engine.compiled import compiled
from mull.evaluation.speed import (
    BATCH,
    SHAPE,
    Branching,
    Drawn,
    Limits,
    Workload,
    limits,
    workload_named,
)
from mull.models.inference import InferenceDecoder
from mull.models.memory import keep_freed_memory
from mull.models.transformer import Decoder

SHOWN: Final = 14
"""Operations with a line of their own."""


class InProcess:
    """The engine's batch in this process."""

    def __init__(self) -> None:
        torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
        network = InferenceDecoder(
            Decoder(SHAPE), dtype=torch.float32, device="cpu", kernels=compiled()
        )
        silent = Punctuation(frozenset(), frozenset())
        self.batch = Batch(network, EngineSettings(Path(), silent))
        self.contexts = 0.0
        """Positions that a drawn token attends to, summed over all."""
        self._seed = 0

    def draw(self, work: Branching) -> Drawn:
        """Everything, to its end."""
        sampling = Sampling(temperature=0.0) if work.is_greedy else Sampling()
        drawn: Drawn = [[() for _ in range(work.samples)] for _ in work.prompts]
        number = 0
        for prompt in work.prompts:
            self._seed += work.samples
            requests = [
                Request(prompt, self._seed + sample, work.max_tokens, sampling=sampling)
                for sample in range(work.samples)
            ]
            self.batch.add(enumerate(requests, number))
            number += work.samples
            context = len(prompt) + (work.max_tokens + 1) / 2
            self.contexts += context * work.samples * work.max_tokens
        while self.batch.is_busy:
            report, start = self.batch.turn(), 0
            if report is None:
                continue
            for index, number in enumerate(report.numbers):
                end = start + report.counts[index]
                place, sample = divmod(number, work.samples)
                drawn[place][sample] += tuple(report.token_ids[start:end])
                start = end
        return drawn


def run(workload: Workload, repeat: int, engine: InProcess) -> None:
    rounds = workload.rounds(repeat)
    work = next(rounds)
    while True:
        try:
            work = rounds.send(engine.draw(work))
        except StopIteration:
            return


def profile(workload: Workload, bounds: Limits) -> None:
    """Print one workload's table."""
    engine = InProcess()
    run(workload, 0, engine)
    before, contexts = engine.batch.stats(), engine.contexts
    seconds = cpu_seconds(lambda: run(workload, 1, engine))
    after, contexts = engine.batch.stats(), engine.contexts - contexts
    turns, drawn = after.turns - before.turns, after.drawn_tokens - before.drawn_tokens
    say(f"\n{workload.name}: {drawn / seconds:,.0f} tokens per CPU-second, {turns} turns")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        watched_seconds = cpu_seconds(lambda: run(workload, 2, engine))
    table(watched.key_averages(), watched_seconds, turns)
    read = after.known_tokens - after.cached_tokens - before.known_tokens + before.cached_tokens
    flops = (drawn + read) * SHAPE.flops_per_token(0)
    flops += contexts * (SHAPE.flops_per_token(1) - SHAPE.flops_per_token(0))
    weights = 4 * (SHAPE.num_core_parameters + SHAPE.vocab_size * SHAPE.hidden_size)
    arithmetic, reading = flops / bounds.matrix_flops, weights * turns / bounds.read_bytes
    say(
        f"took {seconds:.3f} s; at the measured rates arithmetic alone takes {arithmetic:.3f} s "
        f"({arithmetic / seconds:.0%}), reading the weights once a turn {reading:.3f} s "
        f"({reading / seconds:.0%})"
    )


def table(events: Sequence[Any], seconds: float, turns: int) -> None:
    """Print what operations took, those that took most first."""
    ordered = sorted(events, key=lambda each: each.self_cpu_time_total, reverse=True)
    lines = [(each.key, each.count, each.self_cpu_time_total) for each in ordered]
    rest = lines[SHOWN:]
    others = sum(count for _, count, _ in rest), sum(micros for _, _, micros in rest)
    outside = seconds * 1e6 - sum(micros for _, _, micros in lines)
    lines = [
        *lines[:SHOWN],
        (f"{len(rest)} other operations", *others),
        ("not in an operation", 0, outside),
    ]
    say(f"{'operation':28} {'calls a turn':>12} {'us a turn':>10} {'share':>6}")
    for name, count, micros in lines:
        say(
            f"{name[:28]:28} {count / turns:12,.1f} {micros / turns:10,.0f} "
            f"{micros / seconds / 1e6:6.1%}"
        )


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def products() -> None:
    """Print the small products of 64 rows' private blocks, with keys in either order."""
    heads, groups = SHAPE.num_kv_heads, SHAPE.num_heads // SHAPE.num_kv_heads
    queries = torch.randn(BATCH * heads, groups, SHAPE.head_dim)
    lying = torch.randn(BATCH * heads, SHAPE.head_dim, BLOCK)
    standing = torch.randn(BATCH * heads, BLOCK, SHAPE.head_dim).transpose(1, 2)
    for name, keys in (("transposed (D, 16)", lying), ("a position a row (16, D)", standing)):
        micros = fastest(lambda keys=keys: torch.bmm(queries, keys))
        say(f"64 private blocks, keys {name}: {micros:.0f} us")


def fastest(call: Callable[[], object]) -> float:
    rounds = list[float]()
    for _ in range(9):
        rounds.append(cpu_seconds(lambda: [call() for _ in range(200)]) / 200)
    return min(rounds) * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workload", action="append", help="one, best-of-64, tree or mixed")
    chosen = parser.parse_args(arguments).workload or ["one", "best-of-64", "tree"]
    keep_freed_memory()
    torch.set_num_threads(1)
    with torch.inference_mode():
        bounds = limits()
        rates = bounds.matrix_flops / 1e9, bounds.read_bytes / 1e9
        say(f"matrix rate {rates[0]:.0f} GFLOP/s, memory {rates[1]:.0f} GB/s")
        for name in chosen:
            profile(workload_named(name), bounds)
        products()


if __name__ == "__main__":
    main()
