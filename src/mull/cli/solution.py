"""A solution for people, and the same for programs."""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Final

from rich.text import Text

from mull.build import price_version, readable_answer
from mull.cli.output import printable, show, show_json
from mull.core.codec import Json, encode
from mull.core.events import StopReason
from mull.core.problem import AnswerKind
from mull.core.score import Score
from mull.core.solution import Solution
from mull.core.spec import SolveSpec
from mull.core.steps import StepKind
from mull.core.usage import Usage

STOPS: Final[Mapping[StopReason, str]] = MappingProxyType(
    {
        StopReason.COMPLETED: "the strategy has drawn all it wanted",
        StopReason.ACCEPTED: "a verifier accepted an answer",
        StopReason.REACHED: "the answer is as sure as was asked for",
        StopReason.SETTLED: "more answers would hardly change it",
        StopReason.GIVEN_UP: "more was not worth what it costs",
        StopReason.ABSTAINED: "no answer was judged worth giving",
        StopReason.ESCALATED: "the problem was handed to somebody stronger",
        StopReason.FAILED: "every attempt failed",
        StopReason.CANCELLED: "it was cancelled",
        StopReason.BUDGET_TOKENS: "the token budget is spent",
        StopReason.BUDGET_SECONDS: "the time budget is spent",
        StopReason.BUDGET_CALLS: "the budget of calls is spent",
        StopReason.BUDGET_FLOPS: "the compute budget is spent",
        StopReason.BUDGET_MONEY_USD: "the money budget is spent",
    }
)
"""Why a solve ended, in words."""


_MET: Final[Mapping[bool | None, str]] = MappingProxyType(
    {True: "reached", False: "not reached", None: "and nothing can say whether it is reached"}
)


def show_solution(solution: Solution) -> None:
    """The steps of the chosen trajectory, the answer and what it took."""
    show(solution.tree.problem.statement, style="bold")
    show()
    _show_steps(solution)
    _show_row("answer", _answer(solution), style="bold green" if solution.answer else "bold yellow")
    if solution.confidence is not None and solution.answer is not None:
        _show_row("confidence", f"{solution.confidence:.2f}{_voucher(solution)}")
    if solution.quality is not None:
        _show_row("quality", f"{solution.quality:g} asked for, {_MET[solution.is_met]}")
    _show_row("stopped", STOPS[solution.stop])
    for note in solution.notes:
        _show_row("note", note)
    for score in _scores(solution):
        if not score.is_opinion:
            _show_row("not judged", f"by `{score.source}`: {score.reason}")
    _show_row("spent", usage_in_words(solution.usage))
    _show_row("solve", solution.solve_id)


def _show_steps(solution: Solution) -> None:
    if solution.trajectory is None:
        return
    if solution.answer is None:
        show("the best attempt, which is no answer:", style="yellow")
    for number, step in enumerate(solution.trajectory.steps, start=1):
        line = Text(f"{number:>4}  ", style="dim")
        style = "dim" if step.kind is StepKind.THOUGHT else ""
        is_program = solution.tree.problem.answer_kind is AnswerKind.CODE
        text = step.text.rstrip() if is_program else step.text.strip()
        line.append(printable(text), style=style)
        show(line)
    show()


def _show_row(name: str, content: str, *, style: str = "") -> None:
    row = Text(f"{name:<12}", style="dim")
    row.append(printable(content), style=style)
    show(row)


def _answer(solution: Solution) -> str:
    if solution.answer is None:
        return "none"
    return readable_answer(solution.tree.problem, solution.answer)


def _voucher(solution: Solution) -> str:
    """Who stands behind the confidence."""
    sources = [str(score.source) for score in _scores(solution)]
    return f" by {', '.join(sources)}" if sources else ""


def _scores(solution: Solution) -> tuple[Score, ...]:
    """What verifiers said of the trajectory the answer was read off."""
    tree, trajectory = solution.tree, solution.trajectory
    if trajectory is None:
        return ()
    read_off = (each for each in tree.finished() if tree.steps(each.id) == trajectory.steps)
    return next((tree.scores(node.id) for node in read_off), ())


def usage_in_words(usage: Usage) -> str:
    """What was spent, the parts that are zero left out."""
    parts = [
        f"{usage.generated_tokens:,} tokens generated",
        f"{usage.prompt_tokens:,} read ({usage.cached_tokens:,} cached)",
        _counted(usage.calls, "attempt"),
        f"{usage.seconds:.1f} s",
    ]
    if usage.discarded_tokens:
        parts[0] += f" ({usage.discarded_tokens:,} of them discarded)"
    if usage.flops:
        parts.append(f"{usage.flops / 1e9:.2f} GFLOP")
    if usage.money_usd:
        parts.append(f"${usage.money_usd:.4f}")
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def show_solution_json(solution: Solution, spec: SolveSpec, seed: int) -> None:
    """The solution as one JSON document."""
    trajectory = solution.trajectory
    show_json(
        "solution",
        {
            "solve_id": solution.solve_id,
            "problem": encode(solution.tree.problem),
            "statement": solution.tree.problem.statement,
            "model": spec.model,
            "strategy": encode(spec.strategy),
            "verifiers": [str(source) for source in spec.verifiers],
            "seed": seed,
            "answer": solution.answer,
            "readable_answer": None if solution.answer is None else _answer(solution),
            "abstained": solution.abstained,
            "confidence": solution.confidence,
            "quality": solution.quality,
            "is_met": solution.is_met,
            "stop": solution.stop.value,
            "notes": list(solution.notes),
            "steps": [
                {"text": step.text, "kind": step.kind.value, "num_tokens": len(step.token_ids)}
                for step in (trajectory.steps if trajectory else ())
            ],
            "scores": [encode(score) for score in _scores(solution)],
            "usage": usage_json(solution.usage),
            "price_version": price_version(spec.policy),
        },
    )


def usage_json(usage: Usage) -> Mapping[str, Json]:
    """Every component, zeros included, and the sum that a token budget caps."""
    return {**asdict(usage), "generated_tokens": usage.generated_tokens}
