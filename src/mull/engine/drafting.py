"""Lossless speculative decoding: a small model guesses ahead, the large one looks at all at once.

Every token is guessed from q, the small model's distribution, and kept with probability min(1, p/q)
under p, the large one's; else it is drawn from what p has more than q. So it is drawn from p
(Leviathan, Kalman & Matias 2023; Chen et al. 2023). There it is usual to draw one token more from
p alone where all guesses were kept. Here that one is guessed too: then token number t depends on
(seed, t) and the text before it alone, wherever a turn began, and both models compute the same
positions, so that one block table serves both.

Axes: N rows, w tokens guessed a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.layout import Layout
from mull.engine.passes import Passes
from mull.engine.reading import Chain
from mull.engine.rows import Rows
from mull.engine.sampling import Draws, distributions, normalised, onto, pick

CHECKS: Final = np.uint64(0xD1B54A32D192ED03)
"""The stream of a seed that decides whether guesses are kept."""
RESTS: Final = np.uint64(0x8CB92BA72F3D8DD7)
"""The one that what stands for a refused guess is drawn from."""


class Window(NamedTuple):
    """The next tokens of each row."""

    token_ids: NDArray[np.int64]
    """(N, w)"""
    logprobs: NDArray[np.float64]
    """(N, w), under the untempered, unfiltered large model."""
    counts: NDArray[np.int64]
    """(N,): how many of them count."""
    accepted: NDArray[np.int64]
    """(N,): how many of those were guesses."""


class Guesses(NamedTuple):
    """What the small model proposes."""

    token_ids: NDArray[np.int64]
    """(N, w+1): each row's last token, then the guesses."""
    distributions: Tensor
    """(N, w, V): what they were drawn from."""


def guess(
    passes: Passes, rows: Rows, layout: Layout, width: int, chains: Sequence[Chain]
) -> Guesses:
    """Draw `width` tokens a row; chains are read along the way."""
    token_ids, positions = rows.tokens.copy(), rows.positions
    last = passes.decoder.config.max_positions - 1
    guessed, drawn_from = [token_ids], list[Tensor]()
    for ahead in range(width):
        offsets, places = (rows.offsets + ahead)[:, None], np.minimum(positions + ahead, last)
        logits = passes.over_rows(layout, offsets, token_ids, places, () if ahead else chains)
        draws = rows.draws(ahead)
        logits = normalised(logits)
        drawn_from.append(distributions(logits, draws))
        token_ids = pick(drawn_from[-1], draws.uniforms).cpu().numpy()
        guessed.append(token_ids)
    return Guesses(np.stack(guessed, 1), torch.stack(drawn_from, 1))


class Verdict(NamedTuple):
    """What is kept of guesses."""

    accepted: NDArray[np.int64]
    """(N,): how many from the first on."""
    token_ids: NDArray[np.int64]
    """(N,): what follows those, where not all were."""


def verify(
    guessed: NDArray[np.int64],
    small: Tensor,
    large: Tensor,
    checks: NDArray[np.float64],
    rests: NDArray[np.float64],
) -> Verdict:
    """Keep or replace guesses (N, w) by both distributions (N, w, V) and numbers (N, w)."""
    rows, width = guessed.shape
    tokens = onto(guessed, large)[..., None]
    chances = onto(checks, large).to(large.dtype)
    p, q = large.gather(-1, tokens)[..., 0], small.gather(-1, tokens)[..., 0]
    kept: NDArray[np.bool_] = (chances * q < p).cpu().numpy()
    accepted: NDArray[np.int64] = kept.astype(np.int64).cumprod(1).sum(1)  # from the first on
    at = accepted.clip(max=width - 1)
    places = np.arange(rows, dtype=np.int64) * width + at
    where = onto(places, large)
    p, q = (each.flatten(0, 1).index_select(0, where) for each in (large, small))
    more = (p - q).clamp_(min=0.0)
    # Rounding can refuse a guess where both say the same.
    more = torch.where(more.sum(-1, keepdim=True) > 0.0, more, p)
    return Verdict(accepted, pick(more, rests[np.arange(rows), at]).cpu().numpy())


def decide(guesses: Guesses, logits: Tensor, rows: Rows) -> Window:
    """What the large model makes of it; its logits (N*w, V) follow the token before each guess."""
    count, width, _ = guesses.distributions.shape
    logits = normalised(logits)
    ahead = range(width)
    large = distributions(logits, _flat([rows.draws(each) for each in ahead]))
    checks = np.stack([rows.draws(each, stream=CHECKS).uniforms for each in ahead], 1)
    rests = np.stack([rows.draws(each, stream=RESTS).uniforms for each in ahead], 1)
    token_ids = guesses.token_ids[:, 1:].copy()
    large = large.view(count, width, -1)
    verdict = verify(token_ids, guesses.distributions, large, checks, rests)
    replaced = np.flatnonzero(verdict.accepted < width)
    token_ids[replaced, verdict.accepted[replaced]] = verdict.token_ids[replaced]
    chosen = onto(token_ids.reshape(-1, 1), logits)
    logprobs = logits.gather(-1, chosen).view(count, width).double().cpu().numpy()
    counts = np.minimum(verdict.accepted + 1, width)
    return Window(token_ids, logprobs, counts, verdict.accepted)


def _flat(draws: Sequence[Draws]) -> Draws:
    """Of w places of N rows, row by row: (N*w,)."""
    columns = ("uniforms", "temperatures", "top_k", "top_p", "min_p")
    return Draws(
        *(np.stack([getattr(each, name) for each in draws], 1).ravel() for name in columns)
    )
