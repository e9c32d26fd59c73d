"""Draws one token for each row of logits; a row's draw depends on that row alone.

Axes: N rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mull.core.errors import EngineError
from mull.models.inference import Kernels

LOWEST_TEMPERATURE: Final = 1e-30
"""Below it a logit over the temperature overflows fp32; draws are greedy long before."""


class Drawn(NamedTuple):
    """One token a row, on the host."""

    token_ids: NDArray[np.int64]
    """(N,)"""
    logprobs: NDArray[np.float64]
    """(N,) natural logarithms under the untempered, unfiltered model."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How each row's token is to be drawn; arrays (N,)."""

    uniforms: NDArray[np.float64]
    """In [0, 1)."""
    temperatures: NDArray[np.float64]
    """0 is greedy and ignores the filters."""
    top_k: NDArray[np.int64]
    """0 is no filter."""
    top_p: NDArray[np.float64]
    min_p: NDArray[np.float64]

    @property
    def filtered(self) -> NDArray[np.bool_]:
        """Which rows leave tokens out."""
        some = (self.top_k > 0) | (self.top_p < 1.0) | (self.min_p > 0.0)
        return some & (self.temperatures > 0.0)

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """The draws of some rows."""
        return type(self)(
            self.uniforms[rows],
            self.temperatures[rows],
            self.top_k[rows],
            self.top_p[rows],
            self.min_p[rows],
        )


def draw(logits: Tensor, draws: Draws, kernels: Kernels | None = None) -> Drawn:
    """Inverse transform sampling: the first token at which the cumulated probability passes u."""
    if kernels is not None and not draws.filtered.any():
        return _drawn_at_once(logits, draws, kernels)
    greedy = draws.temperatures == 0.0
    chosen = logits.argmax(-1) if greedy.any() else None
    logits = normalised(logits)
    if not greedy.all():
        sampled = _sampled(logits, draws)
        chosen = sampled if chosen is None else torch.where(onto(greedy, logits), chosen, sampled)
    assert chosen is not None
    logprobs = logits.gather(-1, chosen[:, None])[:, 0]
    return Drawn(chosen.cpu().numpy(), logprobs.double().cpu().numpy())


def _drawn_at_once(logits: Tensor, draws: Draws, kernels: Kernels) -> Drawn:
    """All rows in one pass over their logits."""
    rows, vocabulary = logits.shape
    chances = np.empty((rows, 2), np.float32)
    chances[:, 0], chances[:, 1] = draws.uniforms, draws.temperatures
    np.maximum(chances[:, 1], LOWEST_TEMPERATURE, out=chances[:, 1], where=chances[:, 1] > 0.0)
    told, room = np.empty((rows, 3), np.float32), np.empty(vocabulary, np.float32)
    at = (each.ctypes.data for each in (chances, told, room))
    kernels.draw(rows, vocabulary, logits.data_ptr(), *at)
    tokens, leads, sums = told.T.astype(np.float64)
    _refuse(np.isnan(sums).any())
    return Drawn(tokens.astype(np.int64), leads - np.log(sums))


def normalised(logits: Tensor) -> Tensor:
    """Logarithms of probabilities (N, V)."""
    logprobs = torch.log_softmax(logits, -1)
    _refuse(logprobs[:, :1].isnan().any())  # one that is no number makes the whole row so
    return logprobs


def _refuse(is_nan: object) -> None:
    """Draw nothing from what is no distribution: it would read like an answer."""
    if is_nan:
        raise EngineError(
            "the model's logits are not numbers",
            hint="its weights are damaged, or too large for the numerical format",
        )


def _sampled(logits: Tensor, draws: Draws) -> Tensor:
    """Of logits that are normalised: logarithms of probabilities."""
    return pick(_weights(logits, draws), draws.uniforms)


def distributions(logits: Tensor, draws: Draws) -> Tensor:
    """What each row's token is drawn from (N, V), of normalised logits; sums are 1."""
    weights = _weights(logits, draws)
    weights /= weights.sum(-1, keepdim=True)
    greedy = draws.temperatures == 0.0
    if greedy.any():
        rows = onto(np.flatnonzero(greedy), logits)
        weights[rows] = functional.one_hot(logits[rows].argmax(-1), logits.shape[-1]).to(weights)
    return weights


def pick(weights: Tensor, uniforms: NDArray[np.float64]) -> Tensor:
    """The first token (N,) at which the cumulated weight passes that share u of all."""
    sums = weights.cumsum(-1)  # (N, V)
    total = sums[:, -1:].contiguous()
    target = onto(uniforms, weights).to(weights.dtype)[:, None] * total
    found = torch.searchsorted(sums, target, right=True)
    # Rounding can lift the target to the total; the last token of any probability is then meant.
    last = torch.searchsorted(sums, total)
    return torch.minimum(found, last)[:, 0]


def _weights(logits: Tensor, draws: Draws) -> Tensor:
    """Tempered and filtered probabilities (N, V); a row that is filtered sums to less than 1."""
    lowest = np.maximum(draws.temperatures, LOWEST_TEMPERATURE)
    temperatures = np.where(draws.temperatures > 0.0, lowest, 1.0)
    if (temperatures != 1.0).any():
        tempered = logits / onto(temperatures, logits).to(logits.dtype)[:, None]
        probabilities = torch.softmax(tempered, -1)
    else:
        probabilities = logits.exp()
    rows = draws.filtered
    if rows.any():
        kept = probabilities[onto(rows, logits)]
        kept = torch.where(kept >= _thresholds(kept, draws.only(rows)), kept, 0.0)
        probabilities[onto(rows, logits)] = kept
    return probabilities


def _thresholds(probabilities: Tensor, draws: Draws) -> Tensor:
    """The smallest probability (N, 1) that every filter of the row keeps.

    Filters are independent of each other, each measured on the tempered model: the `top_k`
    likeliest tokens, the smallest set of likeliest tokens whose sum reaches `top_p` (Holtzman et
    al. 2020), and those at least `min_p` as likely as the likeliest (Nguyen et al. 2024). Ties are
    kept.
    """
    vocabulary = probabilities.shape[-1]
    top_k = onto(np.where(draws.top_k > 0, draws.top_k, vocabulary), probabilities)[:, None]
    top_p = onto(draws.top_p, probabilities).to(probabilities.dtype)[:, None]
    min_p = onto(draws.min_p, probabilities).to(probabilities.dtype)[:, None]
    ranked = probabilities.topk(_num_ranked(probabilities, draws, top_p), -1).values
    kth = ranked.gather(-1, (top_k.clamp(max=ranked.shape[-1]) - 1))
    by_k = torch.where(top_k <= ranked.shape[-1], kth, 0.0)
    before = ranked.cumsum(-1) - ranked  # what likelier tokens sum to
    in_nucleus = torch.where(before < top_p, ranked, torch.inf).amin(-1, keepdim=True)
    by_p = torch.where(top_p < 1.0, in_nucleus, 0.0)
    return torch.maximum(torch.maximum(by_k, by_p), min_p * ranked[:, :1])


def _num_ranked(probabilities: Tensor, draws: Draws, top_p: Tensor) -> int:
    """How many of the likeliest tokens must be ranked to find every threshold; at least 1.

    All tokens below (1 - top_p) / V together stay below 1 - top_p, so none is in the nucleus.
    """
    vocabulary = probabilities.shape[-1]
    most = max(1, int(np.minimum(draws.top_k, vocabulary).max()))
    if (draws.top_p < 1.0).any():
        candidates = (probabilities >= (1.0 - top_p) / vocabulary).sum(-1)
        most = max(most, int(torch.where(top_p[:, 0] < 1.0, candidates, 0).max()))
    return most


def onto(array: NDArray[np.generic], like: Tensor) -> Tensor:
    """An array where a tensor is."""
    contiguous = np.ascontiguousarray(array)  # a column of a table is not
    return torch.from_numpy(contiguous).to(like.device)  # pyright: ignore[reportUnknownMemberType]
