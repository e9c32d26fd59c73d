"""What a whole evaluation costs on our engine and on Hugging Face `generate`, in CPU time.

    python benchmarks/whole_evaluation.py [--problems 30] [--n 64] [--level 4] [--repeats 3]

The same `mull eval` twice: best of n at every budget on the same problems by the same shipped
model, from the first draw to the results on disk. Once our engine draws. Once `generate` does, and
what it draws is handed over, in the fastest of four ways (fp32 or bf16, a problem at a time or
eight), which eight other problems have shown. Starting processes, loading models and the first
products are not counted on either side.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch

from mull.build import OpenModel, open_model
from mull.build.catalog import present_folder
from mull.core.expansion import Call, ExpansionKind, Finish, Grown, NodeId, Outcome, Thinking
from mull.core.protocols import Capabilities
from mull.core.steps import Step
from mull.core.usage import Usage
from mull.evaluation import Bench, EvalConfig, ProblemSet, Report, evaluate
from mull.evaluation.rivals import process_seconds
from mull.models.tokenizer import TextTokenizer
from mull.policies.formats import ChatFormat
from mull.policies.local import LocalPolicy
from mull.tasks import Example
from mull.verifiers import CountdownChecker

MODEL = "mull-base"
MAX_TOKENS = 128
WAYS = [(dtype, batch) for dtype in (torch.float32, torch.bfloat16) for batch in (1, 8)]

Tell = Callable[[str], object]


class Handed:
    """A policy that hands over completions which were drawn before."""

    def __init__(self, drawn: Mapping[str, Sequence[Step]]) -> None:
        self._drawn = drawn

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("handed@1", frozenset(ExpansionKind))

    def quote(self, call: Call) -> Usage:
        return Usage(visible_tokens=call.max_tokens)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        for call in calls:
            steps = self._drawn[call.bases[0].problem.statement]
            step = steps[call.branch.sample % len(steps)]
            usage = Usage(visible_tokens=len(step.token_ids))
            finish = Finish.STOP if step.is_final else Finish.LENGTH
            yield Grown(call.branch.id, 0, step, usage, finish)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        pass


def ignore(_: str) -> None:
    """What a round that only warms up or chooses has to tell."""


class Generate:
    """Draws with Hugging Face `generate`."""

    def __init__(self, folder: Path, dtype: torch.dtype, batch: int) -> None:
        kind: Any = import_module("transformers").LlamaForCausalLM
        self._model = kind.from_pretrained(folder, dtype=dtype).eval()
        self._form = ChatFormat.load(folder, TextTokenizer.load(folder))
        self._batch = batch
        self.name = f"{str(dtype).removeprefix('torch.')}, {batch} problems at a time"

    async def evaluate(self, problems: ProblemSet, n: int, tell: Tell = ignore) -> float:
        """A whole evaluation; the CPU-seconds that it took."""
        start = time.process_time()
        policy = Handed(self._draw(problems.examples(), n))
        report = await evaluation(OpenModel.own(policy), problems, n)
        seconds = time.process_time() - start
        tell(f"generate, {self.name}: {seconds:.2f} CPU-seconds, {accuracy(report)}")
        return seconds

    def _draw(self, examples: Sequence[Example], n: int) -> Mapping[str, Sequence[Step]]:
        """N completions of each problem, by its statement."""
        found = dict[str, Sequence[Step]]()
        for start in range(0, len(examples), self._batch):
            some = examples[start : start + self._batch]
            rows = self._rows(some, n)
            for place, example in enumerate(some):
                mine = rows[place * n : (place + 1) * n]
                found[example.problem.statement] = [self._step(ids) for ids in mine]
        return found

    @torch.inference_mode()
    def _rows(self, examples: Sequence[Example], n: int) -> list[list[int]]:
        prompts = [self._form.prompt(each.problem, Thinking.AUTO) for each in examples]
        longest = max(map(len, prompts))
        tokens = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):
            tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        drawn = self._model.generate(
            tokens,
            attention_mask=mask,
            max_new_tokens=MAX_TOKENS,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n,
            eos_token_id=sorted(self._form.punctuation.stops),
            pad_token_id=0,
        )
        return drawn[:, longest:].tolist()

    def _step(self, ids: list[int]) -> Step:
        stops = self._form.punctuation.stops
        end = next((place + 1 for place, each in enumerate(ids) if each in stops), len(ids))
        return self._form.step(tuple(ids[:end]), (), thinks=False)


class Ours:
    """Draws with our engine."""

    def __init__(self, model: OpenModel, policy: LocalPolicy) -> None:
        self._model, self._policy = model, policy

    async def evaluate(self, problems: ProblemSet, n: int, tell: Tell = ignore) -> float:
        """A whole evaluation; the CPU-seconds of this process and the engine's that it took."""
        start = self._spent()
        report = await evaluation(self._model, problems, n)
        seconds = self._spent() - start
        tell(f"mull: {seconds:.2f} CPU-seconds, {accuracy(report)}")
        return seconds

    def _spent(self) -> float:
        return time.process_time() + process_seconds(self._policy.engine.worker_id)


async def evaluation(model: OpenModel, problems: ProblemSet, n: int) -> Report:
    """The same for everybody who draws, results on disk."""

    @asynccontextmanager
    async def already_open(*_: object) -> AsyncGenerator[OpenModel, None]:
        yield model

    checker = CountdownChecker()
    config = EvalConfig(
        problems,
        (MODEL,),
        budgets=tuple(count for count in (1, 4, 16, 64, 256) if count <= n),
        rollouts=n,
        max_tokens=MAX_TOKENS,
        verifier=checker.source.verifier,
        has_baselines=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench((checker,), already_open)
        return await evaluate(config, Path(folder) / "run", bench=bench)


def accuracy(report: Report) -> str:
    """Share of problems solved at the first and at the last budget."""
    points = report.curves[0].points
    return ", ".join(
        f"{point.accuracy.value:.0%} at {point.n}" for point in (points[0], points[-1])
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--level", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    generators = [Generate(present_folder(MODEL), *way) for way in WAYS]
    async with open_model(MODEL) as opened:
        ours = Ours(opened, cast("LocalPolicy", opened.policy))
        few = ProblemSet("countdown", level=asked.level, count=8, skip=10_000)
        rounds = [[await each.evaluate(few, asked.n) for each in generators] for _ in range(2)]
        best = generators[min(range(len(WAYS)), key=lambda place: rounds[1][place])]
        await ours.evaluate(few, asked.n)
        ratios = list[float]()
        for repeat in range(asked.repeats):
            skip = asked.problems * repeat
            problems = ProblemSet("countdown", level=asked.level, count=asked.problems, skip=skip)
            fast, slow = [await each.evaluate(problems, asked.n, say) for each in (ours, best)]
            ratios.append(slow / fast)
    say(
        f"{asked.problems} problems, {asked.n} samples each: {median(ratios):.2f} times as fast "
        f"({min(ratios):.2f} to {max(ratios):.2f}) as `generate`"
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
