"""What a solve's solution says, before it takes the shape of an API."""

from collections.abc import Sequence
from dataclasses import dataclass

from mull.build import readable_answer
from mull.core.events import StopReason
from mull.core.expansion import BranchId, Finish
from mull.core.solution import Solution
from mull.core.steps import Step, StepKind
from mull.core.tree import Node
from mull.core.usage import Usage
from mull.server.errors import upstream_failed, without_places


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    branch_id: BranchId | None
    """The branch that is the answer; None for one that was searched for."""
    text: str | None
    """None: there is none that could be given; `refusal` says why."""
    reasoning: str
    is_whole: bool
    """Whether it ends where the model, or the search, ended it, and not at a limit."""
    refusal: str | None = None


def answers_of(solution: Solution, *, is_plain: bool) -> list[Answer]:
    """The answers of a solve: every branch of a plain one, the one answer of a search.

    Raises ApiError where a model failed: that is no answer.
    """
    if solution.stop is StopReason.FAILED or (is_plain and solution.tree.failures):
        failures = list(solution.tree.failures.values())
        raise upstream_failed(
            failures[-1].message if failures else "the model failed",
            retryable=all(failure.retryable for failure in failures),
        )
    if is_plain:
        tree = solution.tree
        return [_branch(branch.id, tree.chain(branch.id)) for branch in tree.branches()]
    return [_searched(solution)]


def _branch(branch_id: BranchId, chain: Sequence[Node]) -> Answer:
    steps = [node.step for node in chain if node.step is not None]
    is_whole = bool(chain) and chain[-1].finish is Finish.STOP
    text, reasoning = said(steps, StepKind.ANSWER), said(steps, StepKind.THOUGHT)
    return Answer(branch_id, text, reasoning, is_whole)


def said(steps: Sequence[Step], kind: StepKind) -> str:
    """The text of the steps of one kind, without the space around it."""
    return "".join(step.text for step in steps if step.kind is kind).strip()


def _searched(solution: Solution) -> Answer:
    path = solution.trajectory
    reasoning = said(path.steps, StepKind.THOUGHT) if path else ""
    is_whole = not solution.stop.is_budget and solution.stop is not StopReason.CANCELLED
    if solution.answer is None:
        why = without_places("; ".join(solution.notes)) or "nothing finished"
        return Answer(None, None, reasoning, is_whole, f"no answer can be given: {why}")
    text = readable_answer(solution.tree.problem, solution.answer)
    return Answer(None, text, reasoning, is_whole)


def usage_of(usage: Usage) -> dict[str, object]:
    """Everything a solve spent, every internal call counted, in OpenAI's fields and ours."""
    generated = usage.generated_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": generated,
        "total_tokens": usage.prompt_tokens + generated,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.hidden_tokens},
        "mull": spending_of(usage),
    }


def spending_of(usage: Usage) -> dict[str, object]:
    """The whole cost vector."""
    return {
        "visible_tokens": usage.visible_tokens,
        "hidden_tokens": usage.hidden_tokens,
        "verifier_tokens": usage.verifier_tokens,
        "discarded_tokens": usage.discarded_tokens,
        "calls": usage.calls,
        "seconds": round(usage.seconds, 6),
        "flops": usage.flops,
        "money_usd": usage.money_usd,
    }


def outcome_of(solution: Solution, *, is_plain: bool) -> dict[str, object]:
    """What an API's own fields have no place for. Of plain answers none was chosen, or judged."""
    return {
        "solve_id": solution.solve_id,
        "stop": solution.stop.value,
        "confidence": None if is_plain else solution.confidence,
        "quality": quality_of(solution),
        "notes": [] if is_plain else [without_places(note) for note in solution.notes],
    }


def quality_of(solution: Solution) -> dict[str, object] | None:
    """What was asked for, and whether it is there; `met` is null where nothing can say."""
    if solution.quality is None:
        return None
    return {"asked": solution.quality, "met": solution.is_met}
