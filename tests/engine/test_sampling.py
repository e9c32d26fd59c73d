"""Draws follow the model's distribution and the filters on it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mull.engine.randomness import uniforms
from mull.engine.sampling import Draws, draw

LOGITS = torch.log(torch.tensor([0.05, 0.4, 0.0, 0.3, 0.2, 0.05], dtype=torch.float64))


def draws(
    chances: NDArray[np.float64],
    *,
    temperature: float = 1.0,
    top_k: float = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> Draws:
    rows = len(chances)
    return Draws(
        chances,
        np.full(rows, temperature),
        np.full(rows, int(top_k)),
        np.full(rows, top_p),
        np.full(rows, min_p),
    )


def shares(**options: float) -> list[float]:
    """How often each token is drawn from evenly spread chances."""
    chances = (np.arange(20_000) + 0.5) / 20_000
    drawn = draw(LOGITS.expand(20_000, 6), draws(chances, **options))
    return (np.bincount(drawn.token_ids, minlength=6) / 20_000).round(3).tolist()


def test_tokens_come_as_often_as_the_model_says() -> None:
    assert shares() == [0.05, 0.4, 0.0, 0.3, 0.2, 0.05]


def test_temperature_sharpens_and_flattens() -> None:
    squares = np.array([0.05, 0.4, 0.0, 0.3, 0.2, 0.05]) ** 2
    assert shares(temperature=0.5) == pytest.approx(squares / squares.sum(), abs=1e-3)
    assert shares(temperature=0.0) == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("temperature", [1e-9, 1e-46, 5e-324])
def test_a_tiny_temperature_is_greedy_and_no_overflow(temperature: float) -> None:
    chances = np.array([0.0, 0.5, 0.999])
    for dtype in (torch.float32, torch.float64):
        logits = LOGITS.to(dtype).expand(3, 6)
        assert draw(logits, draws(chances, temperature=temperature)).token_ids.tolist() == [1, 1, 1]


def test_top_k_keeps_the_likeliest_and_their_ties() -> None:
    assert shares(top_k=1) == [0, 1, 0, 0, 0, 0]
    assert shares(top_k=2) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0, 0], abs=1e-3)
    assert shares(top_k=4) == [0.05, 0.4, 0.0, 0.3, 0.2, 0.05]
    assert shares(top_k=100) == [0.05, 0.4, 0.0, 0.3, 0.2, 0.05]


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert shares(top_p=0.39) == [0, 1, 0, 0, 0, 0]
    assert shares(top_p=0.5) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0, 0], abs=1e-3)
    assert shares(top_p=0.89) == pytest.approx([0, 4 / 9, 0, 3 / 9, 2 / 9, 0], abs=1e-3)


def test_min_p_keeps_what_is_near_the_likeliest() -> None:
    assert shares(min_p=0.6) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0, 0], abs=1e-3)
    assert shares(min_p=0.4) == pytest.approx([0, 4 / 9, 0, 3 / 9, 2 / 9, 0], abs=1e-3)


def test_filters_work_together() -> None:
    assert shares(top_k=3, min_p=0.6) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0, 0], abs=1e-3)
    assert shares(top_k=2, top_p=0.89) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0, 0], abs=1e-3)


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(0.0, 1.0, exclude_max=True),
    st.sampled_from([0.3, 1.0, 3.0]),
    st.tuples(
        st.sampled_from([0, 1, 7]), st.sampled_from([0.2, 0.95, 1.0]), st.sampled_from([0.0, 0.3])
    ),
)
def test_a_draw_never_leaves_the_filters(
    seed: int, chance: float, temperature: float, filters: tuple[int, float, float]
) -> None:
    top_k, top_p, min_p = filters
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(seed)) * 3
    how = draws(np.array([chance]), temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    token = int(draw(logits, how).token_ids[0])
    likely = torch.softmax(logits[0].double() / temperature, -1).numpy()
    rank = int((likely > likely[token]).sum())
    assert top_k == 0 or rank < top_k
    assert likely[likely > likely[token]].sum() < top_p + 1e-6
    assert likely[token] >= min_p * likely.max() * (1 - 1e-5)


def test_a_chance_next_to_one_draws_a_token_that_is_possible() -> None:
    logits = torch.full((1, 1536), -torch.inf)
    logits[0, 3:9] = torch.randn(6)
    almost = np.array([1.0 - 2.0**-53])
    assert draw(logits, draws(almost)).token_ids[0] == 8
    assert draw(logits.double(), draws(almost)).token_ids[0] == 8
    assert draw(logits, draws(np.array([0.0]))).token_ids[0] == 3


def test_rows_are_drawn_each_by_its_own_rule() -> None:
    rows = 5
    how = Draws(
        np.full(rows, 0.999),
        np.array([0.0, 1.0, 1.0, 1.0, 1.0]),
        np.array([0, 0, 2, 0, 0]),
        np.array([1.0, 1.0, 1.0, 0.5, 1.0]),
        np.array([0.0, 0.0, 0.0, 0.0, 0.4]),
    )
    drawn = draw(LOGITS.expand(rows, 6), how)
    assert drawn.token_ids.tolist() == [1, 5, 3, 3, 4]
    assert drawn.logprobs == pytest.approx(np.log([0.4, 0.05, 0.3, 0.3, 0.2]))


def test_the_stream_is_splitmix64() -> None:
    # The first outputs of the reference implementation for seed 1234567.
    reference = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    seeds, counters = np.full(3, 1234567, np.uint64), np.arange(3)
    expected = [(value >> 11) * 2.0**-53 for value in reference]
    assert uniforms(seeds, counters).tolist() == expected


def test_chances_are_uniform_and_uncorrelated() -> None:
    seeds = np.arange(2_000, dtype=np.uint64)
    chances = np.stack([uniforms(seeds, np.full(2_000, counter)) for counter in range(50)])
    assert 0.0 <= chances.min() < chances.max() < 1.0
    counts, _ = np.histogram(chances, bins=20, range=(0, 1))
    # 100,000 draws in 20 bins: five standard deviations are 345.
    assert np.abs(counts - 5_000).max() < 345
    assert abs(np.corrcoef(chances[:-1].ravel(), chances[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(chances[:, :-1].ravel(), chances[:, 1:].ravel())[0, 1]) < 0.02
