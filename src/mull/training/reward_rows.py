"""Training rows of reward models: a problem as the trunk, the policy's completions as branches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final, Self

import torch
from torch import Tensor

from mull.training.batch import PADDING, ROW_LENGTH, TRUNK, attention_bias
from mull.training.states import Branch, LabelledProblem

COLUMNS: Final = 32
"""Rows are cut to multiples of it: few widths, so that few graphs are compiled."""


class Labels(StrEnum):
    """What a state counts as."""

    SOFT = "soft"
    """As good as the share of rollouts that came out right."""
    HARD = "hard"
    """Good if any rollout came out right (Math-Shepherd's hard estimate)."""
    EXACT = "exact"
    """Good if it can be completed rightly by the rules: the gold reference."""
    OUTCOME = "outcome"
    """Only whole completions count, as right or wrong."""


@dataclass(frozen=True, slots=True)
class RewardBatch:
    """Tensors of shape (rows, up to ROW_LENGTH); see `Batch` for the first three."""

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    good: Tensor
    """Rollouts from this place that came out right, float."""
    total: Tensor
    """Rollouts from this place; 0 where nothing is judged."""

    def attention_bias(self, dtype: torch.dtype) -> Tensor:
        """As `Batch.attention_bias`."""
        return attention_bias(self.segments, dtype)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def lengths(self) -> Tensor:
        """(rows,) how many places of each are not padding."""
        return (self.segments != PADDING).sum(dim=1)

    def rows(self, index: Tensor, device: str) -> Self:
        """Some rows on a device, without columns that only pad them."""
        longest = int(self.lengths[index].max())
        width = -(-longest // COLUMNS) * COLUMNS
        return type(self)(
            self.tokens[index, :width].to(device),
            self.positions[index, :width].to(device),
            self.segments[index, :width].to(device),
            self.good[index, :width].to(device),
            self.total[index, :width].to(device),
        )


def pack(problems: Iterable[LabelledProblem], labels: Labels, *, pad: int) -> RewardBatch:
    """All problems as rows: as many branches a row as fit, a problem's next row for the rest.

    A branch that fits no row beside its problem is left out.
    """
    rows = [row for problem in problems for row in _rows(problem, labels)]
    shape = (len(rows), ROW_LENGTH)
    batch = RewardBatch(
        torch.full(shape, pad),
        torch.zeros(shape, dtype=torch.int64),
        torch.full(shape, PADDING),
        torch.zeros(shape),
        torch.zeros(shape),
    )
    for place, (prompt, branches) in enumerate(rows):
        _lay_out(batch, place, prompt, branches)
    return batch


def label_branch(branch: Branch, labels: Labels) -> list[tuple[float, float]]:
    """For each step (good, total): what its state counts as, and for how much."""
    if labels is Labels.OUTCOME:
        before = [(0.0, 0.0)] * (len(branch.steps) - 1)
        known = branch.is_right is not None
        return [*before, (float(bool(branch.is_right)), float(known))]
    told = zip(branch.successes, branch.trials, branch.exact, strict=True)
    return [_label(good, trials, labels, exact=exact) for good, trials, exact in told]


def _label(successes: int, trials: int, labels: Labels, *, exact: bool) -> tuple[float, float]:
    if not trials:
        return 0.0, 0.0
    if labels is Labels.SOFT:
        return float(successes), float(trials)
    return float(exact if labels is Labels.EXACT else successes > 0), 1.0


_Labelled = tuple[tuple[int, ...], list[tuple[int, float, float]]]
"""Token ids of a branch, and (place, good, total) of the last token of each step."""


def _rows(
    problem: LabelledProblem, labels: Labels
) -> Iterator[tuple[tuple[int, ...], list[_Labelled]]]:
    room, row = ROW_LENGTH - len(problem.prompt), list[_Labelled]()
    for branch in problem.branches:
        labelled = _labelled(branch, label_branch(branch, labels))
        size = len(labelled[0])
        if size > ROW_LENGTH - len(problem.prompt) or not any(total for *_, total in labelled[1]):
            continue
        if size > room:
            yield problem.prompt, row
            room, row = ROW_LENGTH - len(problem.prompt), []
        row.append(labelled)
        room -= size
    if row:
        yield problem.prompt, row


def _labelled(branch: Branch, told: Sequence[tuple[float, float]]) -> _Labelled:
    places, place = list[tuple[int, float, float]](), -1
    for step, (good, total) in zip(branch.steps, told, strict=True):
        place += len(step)
        places.append((place, good, total))
    return tuple(chain.from_iterable(branch.steps)), places


def _lay_out(
    batch: RewardBatch, row: int, prompt: Sequence[int], branches: Sequence[_Labelled]
) -> None:
    width = len(prompt)
    batch.tokens[row, :width] = torch.tensor(prompt)
    batch.positions[row, :width] = torch.arange(width)
    batch.segments[row, :width] = TRUNK
    start = width
    for segment, (token_ids, places) in enumerate(branches, start=1):
        span = slice(start, start + len(token_ids))
        batch.tokens[row, span] = torch.tensor(token_ids)
        batch.positions[row, span] = torch.arange(width, width + len(token_ids))
        batch.segments[row, span] = segment
        for place, good, total in places:
            batch.good[row, start + place] = good
            batch.total[row, start + place] = total
        start += len(token_ids)
