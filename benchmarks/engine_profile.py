"""Where the engine's time goes, and how far each workload is from what the machine could do.

    python benchmarks/engine_profile.py [--workload best-of-64 --workload tree --workload one]

The model of `mull bench engine` in this process, on one thread, in fp32. A workload is run once to
warm up and three times under watch: CPU time of a turn by what it does. The parts of a pass over
rows are measured by themselves afterwards, on what the last pass was about, one layer over and
over: so they find in the caches what a whole pass does not, and what is missing in their sum is
waiting for memory. Below stand two times that nothing on this machine could beat: all FLOPs at the
matrix rate at 64 rows, and the weights read once a turn at the memory rate, both measured in the
same run.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mull.core.expansion import Sampling
from mull.engine import EngineSettings, Punctuation, Request, batch
from mull.engine import frames as at
from mull.engine.batch import Batch
from mull.engine.compiled import compiled
from mull.engine.fused import FusedRows
from mull.engine.passes import Passes
from mull.evaluation.speed import (
    SHAPE,
    Branching,
    Drawn,
    Limits,
    Workload,
    limits,
    workload_named,
)
from mull.models.inference import MARGIN, InferenceDecoder
from mull.models.memory import keep_freed_memory
from mull.models.transformer import Decoder


class InProcess:
    """The engine's batch in this process."""

    def __init__(self) -> None:
        torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
        self.network = network = InferenceDecoder(
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


class Watch:
    """CPU seconds of some functions, those of others within them left out."""

    def __init__(self, watched: Mapping[str, tuple[Any, str]]) -> None:
        self.seconds = dict.fromkeys(watched, 0.0)
        self.last = list[FusedRows]()
        self._within = [0.0]
        for name, (owner, function) in watched.items():
            setattr(owner, function, self._timed(name, getattr(owner, function)))

    def _timed(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def timed(*arguments: Any, **options: Any) -> object:
            if isinstance(arguments[0], FusedRows):
                self.last = [arguments[0]]
            start = time.thread_time()
            self._within.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                took = time.thread_time() - start
                self.seconds[name] += took - self._within.pop()
                self._within[-1] += took

        return timed


def profile(workload: Workload, bounds: Limits, watch: Watch) -> None:
    """Print one workload's table."""
    engine = InProcess()
    run(workload, 0, engine)
    before, contexts = engine.batch.stats(), engine.contexts
    watch.seconds = dict.fromkeys(watch.seconds, 0.0)
    seconds = cpu_seconds(lambda: [run(workload, repeat, engine) for repeat in (1, 2, 3)])
    after, contexts = engine.batch.stats(), engine.contexts - contexts
    turns, drawn = after.turns - before.turns, after.drawn_tokens - before.drawn_tokens
    say(f"\n{workload.name}: {drawn / seconds:,.0f} tokens per CPU-second, {turns} turns")
    times = {**watch.seconds, "other Python": seconds - sum(watch.seconds.values())}
    for name, spent in times.items():
        say(f"{name:28} {spent / turns * 1e6:10,.0f} us a turn {spent / seconds:6.1%}")
    for rows in watch.last:
        for name, micros in parts(rows, engine.network).items():
            say(f"    of a pass, at hand: {name:15} {micros:8,.0f} us")
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


def parts(rows: FusedRows, network: InferenceDecoder) -> dict[str, float]:
    """Microseconds of each part of a pass over these rows, all layers together."""
    kernels, model, frame = compiled(), rows.model, rows.frame
    count, layers = int(frame[at.ROWS] * frame[at.WIDTH]), SHAPE.num_layers
    places = model.ctypes.data, frame.ctypes.data
    memory = int(model[at.MODEL + at.KEYS]), int(model[at.MODEL + at.VALUES])
    normed = torch.randn(count, SHAPE.hidden_size)
    wide, gated = torch.randn(count, 2 * SHAPE.ffn_size), torch.randn(count, SHAPE.ffn_size)
    stream = torch.randn(count, SHAPE.hidden_size + MARGIN)

    def product(weight: torch.Tensor, depth: int, width: int) -> float:
        x, out = torch.randn(count, depth), torch.empty(count, width)
        places = x.data_ptr(), weight.data_ptr(), out.data_ptr()
        return fastest(lambda: kernels.multiply(count, depth, width, *places, width, 0))

    block, hidden, ffn = network.blocks[0], SHAPE.hidden_size, SHAPE.ffn_size
    columns = (SHAPE.num_heads + 2 * SHAPE.num_kv_heads) * SHAPE.head_dim
    at_norm, at_gate = (stream.data_ptr(), normed.data_ptr()), (wide.data_ptr(), gated.data_ptr())
    return {
        "products": layers
        * (
            product(block.attend, hidden, columns)
            + product(block.mix, hidden, hidden)
            + product(block.widen, hidden, 2 * ffn)
            + product(block.narrow, ffn, hidden)
        ),
        "logits": product(network.head, hidden, SHAPE.vocab_size),
        "attention": layers * fastest(lambda: kernels.attend(*places, *memory)),
        "keys to blocks": layers * fastest(lambda: kernels.enter(*places, *memory)),
        "norms": (2 * layers + 1) * fastest(lambda: kernels.norm(*at_norm, count, hidden)),
        "gates": layers * fastest(lambda: kernels.gate(*at_gate, count, ffn)),
    }


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def fastest(call: Callable[[], object]) -> float:
    rounds = list[float]()
    for _ in range(9):
        rounds.append(cpu_seconds(lambda: [call() for _ in range(20)]) / 20)
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
        watch = Watch(
            {
                "passes over rows": (FusedRows, "logits"),
                "known tokens read": (Passes, "read"),
                "tokens drawn": (batch, "draw"),
                "reported, kept, freed": (Batch, "_settle"),
            }
        )
        for name in chosen:
            profile(workload_named(name), bounds, watch)


if __name__ == "__main__":
    main()
