"""Chances in closed form: what a controller weighs one more draw by."""

from functools import lru_cache
from math import comb, erf, exp, lgamma, log, pi, sqrt
from typing import Final

MANY: Final = 64
"""Votes, beyond which the sum takes long."""


@lru_cache(maxsize=1 << 14)
def majority_holds(top: int, second: int) -> float:
    """How likely the answer with `top` votes is truly more frequent than the one with `second`.

    P(theta > 1/2) for theta ~ Beta(top + 1, second + 1), which is 1 - I_0.5(top + 1, second + 1):
    the stopping criterion of Adaptive-Consistency (Aggarwal et al. 2023). It equals
    P(Binomial(top + second + 1, 1/2) <= top), so it is a sum of whole numbers; of many votes it is
    taken as normal.
    """
    trials = top + second + 1
    if trials > MANY:
        return at_least(0.0, (top - second) / sqrt(trials), 1.0)
    fewer = sum(comb(trials, count) for count in range(second + 1))
    return 1.0 - fewer / 2**trials


def beta_binomial(draws: int, alpha: float, beta: float) -> tuple[float, ...]:
    """How likely 0, 1, ... of so many draws succeed, where p ~ Beta(alpha, beta)."""
    common = lgamma(draws + 1) + lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta)
    common -= lgamma(alpha + beta + draws)
    return tuple(
        exp(
            common
            + lgamma(alpha + hits)
            + lgamma(beta + draws - hits)
            - lgamma(hits + 1)
            - lgamma(draws - hits + 1)
        )
        for hits in range(draws + 1)
    )


def success_within(draws: int, alpha: float, beta: float) -> float:
    """How likely one of so many draws succeeds, where p ~ Beta(alpha, beta)."""
    none = 1.0
    for past in range(draws):
        none *= (beta + past) / (alpha + beta + past)
    return 1.0 - none


def at_least(value: float, mean: float, deviation: float) -> float:
    """P(X >= value) for a normal X."""
    return 0.5 * (1.0 - erf((value - mean) / (deviation * sqrt(2.0))))


def expected_improvement(best: float, mean: float, deviation: float) -> float:
    """E[max(X - best, 0)] for a normal X: deviation * (phi(z) + z * Phi(z)).

    Falling in `best`: it exceeds a cost c exactly below the reservation value tau of Weitzman's
    (1979) boxes, which solves E[max(X - tau, 0)] = c. So comparing it with c is that rule.
    """
    z = (mean - best) / deviation
    return deviation * (exp(-0.5 * z * z) / sqrt(2.0 * pi) + z * at_least(0.0, z, 1.0))


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)), without overflow."""
    return 1.0 / (1.0 + exp(-z)) if z >= 0 else exp(z) / (1.0 + exp(z))


def logit(share: float) -> float:
    """The inverse of `sigmoid`, of a share strictly between 0 and 1."""
    return log(share / (1.0 - share))
