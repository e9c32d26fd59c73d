"""What reward models minimise: negative log-likelihoods of rollouts, and a ranking of completions.

Axes: R rows, T places. `outputs` is (R, T, L); `good` and `total` are (R, T): of `total` rollouts
from a place `good` came out right. Places of total 0 are not trained on.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

LOWEST_LOG: Final = -5.0
HIGHEST_LOG: Final = 7.0
"""Of alpha and beta: nothing is learned beyond, and nothing overflows."""


def binomial_loss(outputs: Tensor, good: Tensor, total: Tensor) -> Tensor:
    """Mean negative log-likelihood a rollout, in nats, of one logit a place."""
    logits = outputs[..., 0].float()
    losses = good * functional.softplus(-logits) + (total - good) * functional.softplus(logits)
    return losses.sum() / total.sum().clamp(min=1)


def beta_binomial_loss(outputs: Tensor, good: Tensor, total: Tensor) -> Tensor:
    """The same for a Beta distribution over the probability: outputs are log alpha, log beta.

    Finite rollouts are the likelihood's business, not noise in a label (BetaPRM, arXiv 2605.15529).
    The binomial coefficients are left out: they depend on no weight.
    """
    alpha, beta = outputs.float().clamp(LOWEST_LOG, HIGHEST_LOG).exp().unbind(-1)
    likelihood = _log_beta(good + alpha, total - good + beta) - _log_beta(alpha, beta)
    return -likelihood.sum() / total.sum().clamp(min=1)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def ranking_loss(logits: Tensor, good: Tensor, total: Tensor) -> Tensor:
    """Mean of -log sigmoid(right - wrong) over the pairs of completions within a row.

    `logits` (R, T); a row holds completions of one problem, judged at their last tokens.
    """
    right, wrong = (total > 0) & (good > 0), (total > 0) & (good == 0)
    pairs = right[:, :, None] & wrong[:, None, :]  # (R, T, T)
    gaps = logits.float()[:, :, None] - logits.float()[:, None, :]
    losses = functional.softplus(-gaps) * pairs
    return losses.sum() / pairs.sum().clamp(min=1)
