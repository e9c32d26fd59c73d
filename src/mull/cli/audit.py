"""`mull audit`: how far reward models can be trusted, against exact labels."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import close_verifiers, find_verifier, open_model
from mull.cli.output import say, show
from mull.cli.watching import shown
from mull.core.problem import AnswerKind
from mull.engine import Dtype
from mull.evaluation.reward_audit import Curve, Ranked, curves, left_out, ranked, supported
from mull.evaluation.reward_samples import SampleFolder, SamplePlan
from mull.verifiers.reward import RewardVerifier

EXAMPLES: Final = """\
Examples:

mull audit mull-prm --task countdown --level 4 --count 200 --n 64 --out runs/audit

mull audit runs/soft/model runs/exact/model --task chain --level 6 --model mull-mini --out runs/sums

Samples are kept in the folder, so another reward model costs only its own scores."""
OWN: Final = "policy's own probability"
"""A judge that costs nothing, beside those that do."""


def audit(
    reward_models: Annotated[list[str], typer.Argument(help="Shipped names or folders.")],
    *,
    task: Annotated[str, typer.Option("--task", help="A task or a suite.")] = "countdown",
    level: Annotated[int, typer.Option("--level", help="Of a generated task.")] = 4,
    count: Annotated[int, typer.Option("--count", help="Held-out problems.", min=1)] = 200,
    model: Annotated[str, typer.Option("--model", help="The policy whose states.")] = "mull-base",
    n: Annotated[int, typer.Option("--n", help="Samples a problem.", min=1)] = 64,
    temperature: Annotated[float, typer.Option("--temperature", help="Of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Of problems and samples.", min=0)] = 0,
    support: Annotated[
        float,
        typer.Option(
            "--support",
            help="No opinion of answers with a token that the policy gave less than this.",
            min=0.0,
            max=1.0,
        ),
    ] = 0.0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the audit.", file_okay=False)],
) -> None:
    """Measure reward models on fresh held-out problems: ranking of states, choice of answers."""
    plan = SamplePlan(task, level, count, model, n, temperature, seed)
    judges = [_reward_verifier(name) for name in reward_models]
    folder = SampleFolder(out, plan)
    asyncio.run(_measure(folder, judges))
    samples = folder.samples
    judged = {
        name: scores
        for name, judge in zip(reward_models, judges, strict=True)
        if (scores := folder.scores(judge))
    }
    judged[OWN] = {name: [list(each.own) for each in drawn] for name, drawn in samples.items()}
    problems = {
        name: [supported(samples[each.id], scores[each.id], support) for each in folder.examples]
        for name, scores in judged.items()
    }
    tables = {name: ranked(each, seed=seed) for name, each in problems.items()}
    ns = [1, *(size for size in (4, 16, 64, 256) if size <= n)]
    rules = {
        name: judge.card.aggregation for name, judge in zip(reward_models, judges, strict=True)
    }
    found = curves(problems, ns, rules)
    _show(tables, found)
    if support:
        right, wrong = left_out((each for drawn in samples.values() for each in drawn), support)
        show(f"no opinion of {right:.1%} of the right answers and {wrong:.1%} of the wrong ones")
    _write(out / "audit.json", tables, found)


def _reward_verifier(name: str) -> RewardVerifier:
    verifier = find_verifier(name, AnswerKind.TEXT)
    if not isinstance(verifier, RewardVerifier):
        raise typer.BadParameter(f"`{name}` is no reward model")
    return verifier


async def _measure(folder: SampleFolder, judges: Sequence[RewardVerifier]) -> None:
    with shown("auditing") as show_progress:

        def report(done: int, total: int) -> None:
            show_progress(done / total, f"{done} of {total} problems")

        if len(folder.samples) < len(folder.examples):
            opened = open_model(folder.plan.model, dtype=Dtype.FLOAT32, max_rows=512)
            async with opened as policy:
                await folder.draw(policy, report)
        try:
            for judge in judges:
                await folder.judge(judge, report)
        finally:
            await close_verifiers(judges)


def _show(tables: dict[str, list[Ranked]], found: Sequence[Curve]) -> None:
    show("AUROC against exact labels, distinct states, 95 % intervals over problems")
    for name, rows in tables.items():
        show(name, style="bold")
        for row in rows:
            area = row.auroc
            show(
                f"  after step {row.depth}: {area.value:.3f} ({area.low:.3f}-{area.high:.3f}), "
                f"{row.num_states:,} states, {row.base_rate:.0%} good"
            )
    show("accuracy in % of the chosen answer by number of samples")
    for curve in found:
        points = "  ".join(
            f"{n}: {100 * at.value:.1f} ({100 * at.low:.0f}-{100 * at.high:.0f})"
            for n, at in curve.points.items()
        )
        last = curve.last
        added = f"{100 * last.value:+.1f} ({100 * last.low:+.1f} to {100 * last.high:+.1f})"
        show(f"  {curve.judge} {curve.rule} {curve.choice}: {points}; the last step adds {added}")


def _write(path: Path, tables: dict[str, list[Ranked]], found: Sequence[Curve]) -> None:
    def interval(at: object) -> object:
        return [getattr(at, name) for name in ("value", "low", "high")]

    document = {
        "ranked": {
            name: [[*row[:3], interval(row.auroc)] for row in rows] for name, rows in tables.items()
        },
        "curves": [
            {
                "judge": curve.judge,
                "rule": curve.rule,
                "choice": curve.choice,
                "points": {str(n): interval(at) for n, at in curve.points.items()},
                "last": interval(curve.last),
            }
            for curve in found
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    say(f"written to {path}")
