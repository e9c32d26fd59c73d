"""An answer before the budget ends: what step-by-step searches do when the limit comes near.

A search that is cut in mid-air has spent everything and holds no answer. So, as long as there is
none, the last tokens are kept back to complete the best path greedily, once.
"""

from collections.abc import Sequence
from dataclasses import replace

from mull.core.expansion import Expansion, ExpansionKind
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.steps import Stepwise


def within(
    tree: SearchTree,
    limit: Headroom,
    wave: Sequence[Expansion],
    steps: Stepwise,
    *,
    levels_left: int,
) -> tuple[Expansion, ...]:
    """What to grow now of a wave, whose first expansion starts from the best path.

    A wave waits, where afterwards the best path could no longer be completed, until that is done.
    What a step takes is taken to be what the longest so far took; where none is there yet and the
    worst case does not fit, the first step of the wave is drawn alone, to learn it. `levels_left`
    bounds the steps that a path takes after this wave.
    """
    if (limit.tokens is None and limit.calls is None) or not wave or _has_landed(tree):
        return tuple(wave)
    longest = _longest_step(tree)
    count = sum(each.count for each in wave)
    num_calls = count + (1 if levels_left else 0)
    if _fits(limit, count + levels_left, longest or steps.step_tokens, num_calls=num_calls):
        return tuple(wave)
    if longest is None and _fits(limit, 2, steps.step_tokens, num_calls=2):
        return (replace(wave[0], count=1),)
    return steps.finish(tree, wave[0].parents[0]) or tuple(wave)


def _has_landed(tree: SearchTree) -> bool:
    """Whether there is an answer, or the attempt to complete one was made."""
    asked = (branch.expansion for branch in tree.branches())
    return bool(tree.finished()) or any(each.kind is ExpansionKind.FINISH for each in asked)


def _longest_step(tree: SearchTree) -> int | None:
    taken = [node.usage.completion_tokens for node in tree.nodes() if node.finish is not None]
    return max(taken, default=None)


def _fits(limit: Headroom, num_steps: int, tokens: int, *, num_calls: int) -> bool:
    fits_tokens = limit.tokens is None or num_steps * tokens <= limit.tokens
    return fits_tokens and (limit.calls is None or num_calls <= limit.calls)
