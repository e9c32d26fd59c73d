"""Countdown training rows: one statement of numbers, several targets, a derivation for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mull.models.tokenizer import TextTokenizer
from mull.tasks.countdown import MAX_TARGET, MIN_TARGET
from mull.training.batch import IGNORED, PADDING, ROW_LENGTH, Batch
from mull.training.countdown_walks import Walks, WalkStep, draw_starts, results_of, walk
from mull.training.vocabulary import Vocabulary

WALKS_A_ROW: Final = 512
CARD_TARGET: Final = 24
CARD_WEIGHT: Final = 50.0
"""How much likelier a walk that ends on 24 is to be kept: about a quarter of all kept walks do."""
OTHER_WEIGHT: Final = 0.1
"""The same for targets outside 10 to 100."""
SHORT_SHARE: Final = 0.1
"""Share of branches that show an honest miss: a last line that falls short of the target."""
CARD_SHORT_SHARE: Final = 0.35
BRANCHES: Final[Mapping[int, int]] = {3: 8, 4: 5, 5: 3, 6: 2}
"""How many branches of each start size fit a row."""


@dataclass(frozen=True, slots=True)
class Goals:
    """What each branch of each row shows; all tensors are (R, K)."""

    walk: Tensor
    """Which walk it follows."""
    target: Tensor
    is_usable: Tensor
    """False where the row had too few trainable walks; such a branch is not trained on."""
    is_short: Tensor
    """Where the last two numbers cannot reach the target: only the last line is trained on."""


@dataclass(frozen=True, slots=True)
class CountdownRows:
    """Assembles batches of countdown rows on the generator's device."""

    tokenizer: TextTokenizer
    vocabulary: Vocabulary

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> CountdownRows:
        """Rows in the token ids of this tokenizer."""
        return cls(tokenizer, Vocabulary.of(tokenizer))

    def batch(self, rows: int, size: int, generator: torch.Generator) -> Batch:
        """`rows` rows of puzzles with `size` start numbers."""
        starts = draw_starts(rows, size, generator)
        walks = walk(starts.repeat_interleave(WALKS_A_ROW, 0), generator)
        chosen, is_usable = _choose(walks, rows, BRANCHES[size], generator)
        goals = _goals(walks, chosen, is_usable, generator)
        return self._assemble(starts, walks, goals)

    def _assemble(self, starts: Tensor, walks: Walks, goals: Goals) -> Batch:
        words = self.vocabulary
        rows, branches = goals.walk.shape
        trunk = self._statement(starts)  # (R, P)
        trace = self._trace(walks, goals.walk.flatten()).view(rows, branches, -1)  # (R, K, L)
        full_stop, assistant, end = (
            torch.full_like(trace[..., :1], word)
            for word in (words.full_stop, words.assistant, words.end)
        )
        goal = (goals.target + words.number_base)[..., None]
        inputs = torch.cat((goal, full_stop, assistant, trace), dim=-1)  # (R, K, 3 + L)
        outputs = torch.cat((trace, end), dim=-1)  # (R, K, L + 1)
        last_line = trace.shape[-1] - 5  # ` a op b = c`
        keep = torch.arange(outputs.shape[-1], device=trace.device) >= last_line
        trained = torch.where(goals.is_short[..., None], keep, goals.is_usable[..., None])
        outputs = torch.where(trained, outputs, IGNORED)
        silent = torch.full_like(inputs[..., :2], IGNORED)
        return _pack(trunk, inputs, torch.cat((silent, outputs), dim=-1), words.pad)

    def _statement(self, starts: Tensor) -> Tensor:
        """Tokens (R, P) of everything before the target."""
        size = starts.shape[1]
        shown = ", ".join("0" * (size - 1)) + " and 0"
        text = f"<|begin|><|user|>Use {shown} once each with + - * / to make"
        tokens = torch.tensor(self.tokenizer.encode(text), device=starts.device)
        places = (tokens == self.vocabulary.number_base).nonzero()[:, 0]
        statement = tokens.repeat(starts.shape[0], 1)
        statement[:, places] = starts + self.vocabulary.number_base
        return statement

    def _trace(self, walks: Walks, chosen: Tensor) -> Tensor:
        """Tokens (N, L) of the chosen walks' derivations, without the end token."""
        last = len(walks.steps) - 1
        lines = [
            self._line(step, chosen, is_last=index == last)
            for index, step in enumerate(walks.steps)
        ]
        return torch.cat(lines, dim=1)

    def _line(self, step: WalkStep, chosen: Tensor, *, is_last: bool) -> Tensor:
        words = self.vocabulary
        operators = torch.tensor(words.operators, device=chosen.device)

        def constant(word: int) -> Tensor:
            return torch.full_like(chosen, word)[:, None]

        pieces = [
            (step.larger[chosen] + words.number_base)[:, None],
            operators[step.operator[chosen]][:, None],
            (step.smaller[chosen] + words.number_base)[:, None],
            constant(words.equals),
            (step.result[chosen] + words.number_base)[:, None],
        ]
        if not is_last:
            remaining = step.remaining[chosen] + words.number_base
            pieces += [constant(words.left), remaining, constant(words.newline)]
        return torch.cat(pieces, dim=1)


def _goals(walks: Walks, chosen: Tensor, is_usable: Tensor, generator: torch.Generator) -> Goals:
    """Name for each branch the target its walk reaches or, for some, one just out of reach."""
    last = walks.steps[-1]
    shape, device = chosen.shape, chosen.device
    drawn = torch.randint(MIN_TARGET, MAX_TARGET + 1, shape, generator=generator, device=device)
    is_card = torch.rand(shape, generator=generator, device=device) < CARD_SHORT_SHARE
    missed = torch.where(is_card, CARD_TARGET, drawn)
    reachable, legal = results_of(last.larger[chosen], last.smaller[chosen])  # (R, K, 4)
    out_of_reach = ~((reachable == missed[..., None]) & legal).any(-1)
    wanted = torch.rand(shape, generator=generator, device=device) < SHORT_SHARE
    is_short = is_usable & wanted & out_of_reach
    return Goals(
        walk=chosen,
        target=torch.where(is_short, missed, walks.final[chosen]),
        is_usable=is_usable,
        is_short=is_short,
    )


def _choose(
    walks: Walks, rows: int, branches: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Indices (R, K) of walks drawn without replacement by weight, and whether each is usable."""
    final = walks.final
    weight = torch.full(final.shape, OTHER_WEIGHT, device=final.device)
    weight[(final >= MIN_TARGET) & (final <= MAX_TARGET)] = 1.0
    weight[final == CARD_TARGET] = CARD_WEIGHT
    weight[~walks.is_trainable | (final < 1)] = 0.0
    # Gumbel top-k: adding Gumbel noise to log-weights samples without replacement.
    noise = torch.rand(final.shape, generator=generator, device=final.device)
    keys = (weight.log() - (-noise.clamp(min=1e-9).log()).log()).view(rows, WALKS_A_ROW)
    best, index = keys.topk(branches, dim=1)
    offset = torch.arange(rows, device=final.device)[:, None] * WALKS_A_ROW
    return index + offset, best.isfinite()


def _pack(trunk: Tensor, branches: Tensor, outputs: Tensor, pad: int) -> Batch:
    """Lay a trunk (R, P) and its branches (R, K, B) out as rows of the fixed length."""
    rows, width = trunk.shape
    count, length = branches.shape[1:]
    used = width + count * length
    device = trunk.device
    tokens = torch.full((rows, ROW_LENGTH), pad, device=device)
    targets = torch.full((rows, ROW_LENGTH), IGNORED, device=device)
    positions = torch.zeros((rows, ROW_LENGTH), dtype=torch.int64, device=device)
    segments = torch.full((rows, ROW_LENGTH), PADDING, device=device)
    tokens[:, :width], tokens[:, width:used] = trunk, branches.flatten(1)
    targets[:, width:used] = outputs.flatten(1)
    positions[:, :width] = torch.arange(width, device=device)
    positions[:, width:used] = (width + torch.arange(length, device=device)).repeat(count)
    segments[:, :width] = 0
    segments[:, width:used] = torch.arange(1, count + 1, device=device).repeat_interleave(length)
    return Batch(tokens, positions, segments, targets)
