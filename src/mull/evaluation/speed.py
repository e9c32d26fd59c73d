"""How fast engines draw tokens on the workloads of a search, side by side in one run.

Every engine runs the same checkpoint of random weights on one thread, and is charged all CPU time
it causes. Workloads take turns among the engines, so that a busy machine is busy for all of them,
and ratios are formed within a repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple, Protocol, Self, cast

import torch

from mull.core.codec import Json
from mull.core.errors import MullError, UnknownNameError
from mull.models.config import ModelConfig
from mull.models.tokenizer import VOCAB_SIZE

SHAPE: Final = ModelConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=256,
    num_layers=6,
    num_heads=8,
    num_kv_heads=4,
    ffn_size=704,
    max_positions=1024,
)
"""4.4 M parameters without embeddings."""
PROMPT_TOKENS: Final = 200
BATCH: Final = 64

Ids = tuple[int, ...]
Drawn = list[list[Ids]]
"""The new tokens of each sample of each prompt."""


class Branching(NamedTuple):
    """Prompts, and how each is gone on from."""

    prompts: tuple[Ids, ...]
    samples: int
    """Of each prompt."""
    max_tokens: int
    is_greedy: bool = False

    @property
    def num_tokens(self) -> int:
        """That are drawn in all."""
        return len(self.prompts) * self.samples * self.max_tokens


class Runner(Protocol):
    """One engine, loaded and ready. None of the tokens it draws ends a text."""

    @property
    def name(self) -> str: ...

    def draw(self, work: Branching) -> Drawn:
        """Draw everything."""
        ...

    def cpu_seconds(self) -> float:
        """That it has used so far, in whatever process."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


Rounds = Generator[Branching, Drawn, None]
"""What is to be drawn, each round made of what the one before it drew."""


class Workload(NamedTuple):
    """One kind of work."""

    name: str
    rounds: Callable[[int], Rounds]
    """By repeat, so that none finds its prompts read."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One engine on one workload."""

    engine: str
    tokens_per_cpu_second: tuple[float, ...]
    """A repeat."""

    @property
    def typical(self) -> float:
        """The median."""
        return median(self.tokens_per_cpu_second)

    def over(self, other: Self) -> tuple[float, float, float]:
        """How many times as fast as another: median, least and most of the repeats."""
        pairs = zip(self.tokens_per_cpu_second, other.tokens_per_cpu_second, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        return median(ratios), min(ratios), max(ratios)


@dataclass(frozen=True, slots=True)
class Limits:
    """What this machine does at best, on one thread, in this run."""

    matrix_flops: float
    """A CPU-second, fp32, 64 rows by a weight of the model's feed-forward."""
    read_bytes: float
    """A CPU-second, summing a tensor of 64 MB."""


def prompts(count: int, repeat: int, length: int = PROMPT_TOKENS) -> tuple[Ids, ...]:
    """Random token ids without a special one; no two calls begin alike."""
    generator = torch.Generator().manual_seed(1_000 * repeat + length)
    ids = torch.randint(16, SHAPE.vocab_size, (count, length), generator=generator)
    return tuple(listed(ids))


def listed(ids: torch.Tensor) -> list[Ids]:
    """Each row of token ids (N, T)."""
    rows = cast("list[list[int]]", ids.tolist())  # pyright: ignore[reportUnknownMemberType]
    return [tuple(row) for row in rows]


def _one_sequence(repeat: int) -> Rounds:
    yield Branching(prompts(1, repeat, 20), 1, 128, is_greedy=True)


def _best_of_64(repeat: int) -> Rounds:
    yield Branching(prompts(1, repeat), BATCH, 64)


def _mixed(repeat: int) -> Rounds:
    lengths = (24, 40, 56, 72, 96, 128, 160, 192)
    yield Branching(tuple(prompts(1, repeat, length)[0] for length in lengths), 8, 48)


def _tree(repeat: int) -> Rounds:
    kept = prompts(1, repeat) * 4
    for _ in range(8):
        drawn = yield Branching(kept, 4, 16)
        # Which ones are kept must not depend on the engine: the first sample of each prompt.
        kept = tuple(prompt + samples[0] for prompt, samples in zip(kept, drawn, strict=True))


WORKLOADS: Final[Mapping[str, Workload]] = {
    "one": Workload("one sequence, 128 tokens", _one_sequence),
    "best-of-64": Workload("best of 64, 200 + 64 tokens", _best_of_64),
    "tree": Workload("tree 16x8, 200 + 8 x 16 tokens", _tree),
    "mixed": Workload("8 solves of 8, 24 to 192 + 48 tokens", _mixed),
}
OURS: Final = "mull"
"""How the names of our runners begin."""


def ours(speeds: Sequence[Speed]) -> Speed:
    """Our fastest."""
    mine = [each for each in speeds if each.engine.startswith(OURS)]
    return max(mine, key=lambda each: each.typical)


def workload_named(name: str) -> Workload:
    """Raises `UnknownNameError`."""
    if name not in WORKLOADS:
        raise UnknownNameError("workload", name, WORKLOADS)
    return WORKLOADS[name]


def share_of_matrix_rate(speed: Speed, limits: Limits) -> float:
    """What best of 64 makes of the matrix rate, by the FLOPs of its tokens."""
    flops = SHAPE.flops_per_token(PROMPT_TOKENS + 32)
    return speed.typical * flops / limits.matrix_flops


def document(results: Mapping[str, Sequence[Speed]], limits: Limits) -> dict[str, Json]:
    """Everything measured, for machines."""
    return {
        "matrix_flops_per_cpu_second": limits.matrix_flops,
        "read_bytes_per_cpu_second": limits.read_bytes,
        "tokens_per_cpu_second": {
            name: {each.engine: list(each.tokens_per_cpu_second) for each in speeds}
            for name, speeds in results.items()
        },
    }


def measure(workload: Workload, runners: Sequence[Runner], *, repeats: int) -> list[Speed]:
    """All engines on one workload, in turns; the first turn of each is not counted."""
    rates = {runner.name: list[float]() for runner in runners}
    for repeat in range(repeats + 1):
        for runner in runners:
            before = runner.cpu_seconds()
            num_tokens = _run(workload.rounds(repeat), runner)
            if repeat:
                rates[runner.name].append(num_tokens / (runner.cpu_seconds() - before))
    return [Speed(name, tuple(each)) for name, each in rates.items()]


def limits() -> Limits:
    """Measured with what runs the engine: a product into a given tensor, and a sum."""
    rows, weight = torch.randn(BATCH, SHAPE.hidden_size), torch.randn(SHAPE.hidden_size, 1408)
    result, large = torch.empty(BATCH, 1408), torch.randn(16 << 20)
    flops = 2.0 * BATCH * weight.numel()
    product = _fastest(lambda: torch.mm(rows, weight, out=result), calls=100)
    return Limits(flops / product, large.numel() * 4 / _fastest(large.sum, calls=4))


def _run(rounds: Rounds, runner: Runner) -> int:
    """All rounds of a workload; how many tokens were drawn."""
    num_tokens, work = 0, next(rounds)
    while True:
        drawn = runner.draw(work)
        _check(drawn, work, runner.name)
        num_tokens += work.num_tokens
        try:
            work = rounds.send(drawn)
        except StopIteration:
            return num_tokens


def _check(drawn: Drawn, work: Branching, name: str) -> None:
    """An engine that draws less than it is asked to is not fast."""
    lengths = {len(ids) for samples in drawn for ids in samples}
    counts = {len(samples) for samples in drawn}
    if lengths != {work.max_tokens} or counts != {work.samples}:
        raise MullError(f"`{name}` drew {lengths} tokens where {work.max_tokens} were asked for")


def _fastest(call: Callable[[], object], *, calls: int) -> float:
    """CPU seconds a call, the best of 7 rounds."""
    rounds = list[float]()
    for _ in range(7):
        start = time.process_time()
        for _ in range(calls):
            call()
        rounds.append((time.process_time() - start) / calls)
    return min(rounds)
