from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mull.evaluation.strata import BANDS, strata_of

RATES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(RATES)
def test_every_problem_is_in_one_quintile_and_one_band(rates: list[float]) -> None:
    strata = strata_of(rates)
    for names in ([f"quintile {k}" for k in range(1, 6)], list(BANDS)):
        assert (np.sum([strata[name] for name in names], axis=0) == 1).all()


@given(RATES)
def test_quintiles_are_as_large_as_each_other_and_easy_first(rates: list[float]) -> None:
    chosen = [strata_of(rates)[f"quintile {k}"] for k in range(1, 6)]
    sizes = [int(each.sum()) for each in chosen]
    assert max(sizes) - min(sizes) <= 1
    values = np.array(rates)
    for easy, hard in pairwise(chosen):
        if easy.any() and hard.any():
            assert values[easy].min() >= values[hard].max()


def test_bands_have_fixed_ends() -> None:
    strata = strata_of([1.0, 0.5, 0.49, 0.1, 0.09, 0.0])
    members = {name: list(np.flatnonzero(strata[name])) for name in BANDS}
    assert members == {"50-100 %": [0, 1], "10-50 %": [2, 3], "0-10 %": [4, 5]}
