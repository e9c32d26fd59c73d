"""What reward models minimise, against sums by hand and against the definition."""

from collections.abc import Callable
from math import comb, exp, lgamma, log

import pytest
import torch
from torch import Tensor

from mull.training.reward_losses import beta_binomial_loss, binomial_loss, ranking_loss


def column(*values: float) -> Tensor:
    return torch.tensor([values])


def beta_outputs(*pairs: tuple[float, float]) -> Tensor:
    return torch.tensor([[[log(a), log(b)] for a, b in pairs]])


def test_the_binomial_loss_is_the_mean_over_rollouts() -> None:
    logits = torch.tensor([[[log(0.8 / 0.2)], [log(0.3 / 0.7)], [5.0]]])
    loss = binomial_loss(logits, column(2, 0, 0), column(3, 1, 0))
    by_hand = -(2 * log(0.8) + log(0.2) + log(0.7)) / 4
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_a_soft_label_is_fitted_at_its_fraction() -> None:
    def loss_at(p: float) -> float:
        return binomial_loss(torch.tensor([[[log(p / (1 - p))]]]), column(3), column(4)).item()

    assert loss_at(0.75) < min(loss_at(0.74), loss_at(0.76), loss_at(1 - 1e-6))


def test_the_beta_binomial_loss_is_that_of_its_definition() -> None:
    a, b, good, total = 2.5, 1.5, 3, 5

    def log_beta(x: float, y: float) -> float:
        return lgamma(x) + lgamma(y) - lgamma(x + y)

    expected = -(log_beta(good + a, total - good + b) - log_beta(a, b)) / total
    loss = beta_binomial_loss(beta_outputs((a, b)), column(good), column(total))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    # With the coefficients it is a distribution over the number of successes.
    masses = [
        comb(total, k)
        * exp(-total * beta_binomial_loss(beta_outputs((a, b)), column(k), column(total)).item())
        for k in range(total + 1)
    ]
    assert sum(masses) == pytest.approx(1.0, rel=1e-4)


def test_one_rollout_tells_a_beta_head_its_mean_alone() -> None:
    for a, b in ((0.4, 0.1), (4.0, 1.0), (400.0, 100.0)):
        loss = beta_binomial_loss(beta_outputs((a, b)), column(1), column(1))
        assert loss.item() == pytest.approx(-log(0.8), abs=2e-4)


def test_rollouts_that_agree_make_a_beta_head_sure_and_mixed_ones_less_so() -> None:
    def loss(strength: float, good: int) -> float:
        outputs = beta_outputs((0.5 * strength, 0.5 * strength))
        return beta_binomial_loss(outputs, column(good), column(8)).item()

    assert loss(50.0, 4) < loss(0.5, 4)
    assert loss(50.0, 8) > loss(0.5, 8)


@pytest.mark.parametrize("loss", [binomial_loss, beta_binomial_loss])
def test_places_without_rollouts_teach_nothing(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    outputs = torch.randn(1, 3, 2, requires_grad=True)
    value = loss(outputs, column(1, 0, 0), column(2, 0, 0))
    value.backward()  # pyright: ignore[reportUnknownMemberType]
    assert outputs.grad is not None
    assert outputs.grad[0, 0].abs().sum() > 0
    assert outputs.grad[0, 1:].abs().sum() == 0
    empty = loss(outputs, column(0, 0, 0), column(0, 0, 0))
    assert empty.item() == 0


def test_the_ranking_loss_is_over_pairs_of_a_row_alone() -> None:
    logits = torch.tensor([[2.0, 0.5, -1.0, 9.0], [3.0, 0.0, 0.0, 0.0]])
    good = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    total = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    gaps = (2.0 - 0.5, 2.0 + 1.0)  # the second row has no wrong completion
    by_hand = sum(log(1 + exp(-gap)) for gap in gaps) / 2
    assert ranking_loss(logits, good, total).item() == pytest.approx(by_hand, rel=1e-5)
    assert ranking_loss(logits, good, torch.zeros_like(total)).item() == 0
