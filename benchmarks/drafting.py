"""What speculative decoding gains on the shipped pair: `mull-mini` guesses for `mull-base`.

    python benchmarks/drafting.py [--rows 1 64] [--guesses 2 4 8] [--temperature 1] [--repeats 3]

Countdown completions to their ends, in this process on one thread in fp32, so many rows at once,
with and without a draft in turns. Prints the share of guesses that were kept and tokens per
CPU-second over those without a draft: the median of the repeats' ratios, the least and the most.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from mull.build.catalog import present_folder
from mull.core.expansion import Sampling, Thinking
from mull.engine import EngineSettings, Request
from mull.engine.batch import Batch
from mull.engine.compiled import compiled
from mull.models.checkpoint import load_checkpoint
from mull.models.inference import InferenceDecoder
from mull.models.memory import keep_freed_memory
from mull.models.tokenizer import TextTokenizer
from mull.policies.formats import ChatFormat
from mull.tasks import generate

MAX_TOKENS = 64
SAMPLES = 16


class Run(NamedTuple):
    """One workload to its end."""

    tokens_per_second: float
    acceptance: float


class Pair:
    """Both models, and what they are asked."""

    def __init__(self, temperature: float) -> None:
        folder = present_folder("mull-base")
        self._chat = ChatFormat.load(folder, TextTokenizer.load(folder))
        self._large, self._small = (_decoder(name) for name in ("mull-base", "mull-mini"))
        self._sampling = Sampling(temperature)

    def run(self, rows: int, guesses: int | None) -> Run:
        """Twice as many completions as there are rows, or eight where there is one."""
        settings = EngineSettings(
            Path(), self._chat.punctuation, max_rows=rows, draft_tokens=guesses or 1
        )
        draft = None if guesses is None else self._small
        batch = Batch(self._large, settings, draft)
        batch.add(enumerate(self._requests(rows)))
        start = time.process_time()
        while batch.is_busy:
            batch.turn()
        seconds, stats = time.process_time() - start, batch.stats()
        return Run(stats.drawn_tokens / seconds, stats.acceptance)

    def _requests(self, rows: int) -> list[Request]:
        count = 8 if rows == 1 else 2 * rows
        examples = generate("countdown", 4, -(-count // SAMPLES), seed=0)
        prompts = [self._chat.prompt(each.problem, Thinking.AUTO) for each in examples]
        return [
            Request(prompts[number // SAMPLES], number, MAX_TOKENS, sampling=self._sampling)
            for number in range(count)
        ]


def _decoder(name: str) -> InferenceDecoder:
    decoder, _ = load_checkpoint(present_folder(name), dtype=torch.float32)
    return InferenceDecoder(decoder, dtype=torch.float32, device="cpu", kernels=compiled())


def compare(pair: Pair, rows: int, guesses: int, repeats: int) -> str:
    """One line: with a draft against without."""
    pairs = [(pair.run(rows, guesses), pair.run(rows, None)) for _ in range(repeats + 1)][1:]
    ratios = [ours.tokens_per_second / plain.tokens_per_second for ours, plain in pairs]
    last, plain = pairs[-1]
    return (
        f"{rows:3} rows, {guesses:2} guesses a turn: {last.acceptance:.1%} kept, "
        f"{last.tokens_per_second:,.0f} against "
        f"{plain.tokens_per_second:,.0f} tokens per CPU-second: {median(ratios):.2f} times "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--guesses", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    with torch.inference_mode():
        pair = Pair(chosen.temperature)
        for rows in chosen.rows:
            for guesses in chosen.guesses:
                sys.stdout.write(compare(pair, rows, guesses, chosen.repeats) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
