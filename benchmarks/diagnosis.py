"""What `mull diagnose` says, held against what was then drawn; and long answers of large models.

    python benchmarks/diagnosis.py law --model mull-mini --level 6 --count 200
    python benchmarks/diagnosis.py lengths --data DIR

`law` draws 256 samples a problem, shows the first 16 of them to the law of repeated sampling and
compares what it says of 64 and of 256 with what they are. `lengths` looks at every set of
`epoch_frontier_samples` that tells its tokens.
"""

import argparse
import asyncio
from pathlib import Path

import numpy as np

from mull.build import SearchSettings, open_model
from mull.evaluation import ProblemSet
from mull.evaluation.diagnosis import diagnose
from mull.evaluation.graded import Samples, record, samples_of
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.scaling_law import fit_law
from mull.tasks import Example
from mull.tasks.recorded import READERS, rows_of

NUM_DRAWN = 256
NUM_SHOWN = 16
LOOKED_AT = (16, 64, 256)
FEWEST = 8
"""Samples of a problem of a set that is looked at."""


async def drawn(model: str, examples: list[Example], seed: int) -> list[Samples]:
    async with open_model(model) as opened:
        return samples_of(await record(opened, examples, SearchSettings(NUM_DRAWN), seed=seed))


def law(model: str, level: int, count: int, seed: int) -> None:
    examples = ProblemSet("countdown", level=level, count=count).examples()
    samples = asyncio.run(drawn(model, examples, seed))
    shown = [(NUM_SHOWN, sum(each.right[:NUM_SHOWN])) for each in samples]
    fitted = fit_law(shown, seed=seed)
    say(f"{model}, {level} numbers, {count} problems, {NUM_SHOWN} samples of each shown")
    say(f"exponent {bounds(fitted.exponent)}")
    for k in LOOKED_AT:
        (found,) = mean_intervals(np.array([[each.checked(k)] for each in samples]))
        say(f"{k:>4} samples: said {percent(fitted.solved(k))}, drawn {percent(found)}")


def lengths(data: Path) -> None:
    say("| set | model | problems that tell | shortest | | | | longest | longest less best |")
    say("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for each in READERS["epoch_frontier_samples"](rows_of(data, "epoch_frontier_samples")):
        if each.num_samples < FEWEST:
            continue
        found = diagnose(samples_of(each)).lengths
        if found is not None:
            shares = " | ".join(f"{part.right.value:.0%}" for part in found.parts)
            name = each.name.partition(" ")[0]
            less = percent(found.longest_less_best)
            say(f"| {name} | {each.model} | {found.num_problems} | {shares} | {less} |")


def percent(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def bounds(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("law", "lengths"))
    parser.add_argument("--model", default="mull-mini")
    parser.add_argument("--level", type=int, default=6)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.what == "law":
        law(options.model, options.level, options.count, options.seed)
    else:
        lengths(options.data)


if __name__ == "__main__":
    main()
