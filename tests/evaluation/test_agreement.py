"""What votes are worth, on votes of which that is known."""

from pathlib import Path
from random import Random

import pytest

from mull.build.controllers import read_agreements
from mull.control import Agreement
from mull.core.errors import BadInputError
from mull.evaluation.agreement import Ballots, ballots_by_kind, fit, reached
from mull.tasks.recorded import RecordedSet


def problems(count: int, rng: Random, *, trust: float = 1.0) -> list[Ballots]:
    """The answer most samples tend to is right with probability `trust`."""
    found = list[Ballots]()
    for _ in range(count):
        share, is_right = rng.uniform(0.3, 1.0), rng.random() < trust
        keys = tuple(
            rng.choices(("main", "rival", f"stray {rng.random()}"), (share, 0.35, 0.2))[0]
            for _ in range(16)
        )
        found.append(Ballots(keys, tuple(is_right and key == "main" for key in keys)))
    return found


def test_what_is_fitted_holds_on_other_problems() -> None:
    rng = Random(1)
    agreement = fit(problems(400, rng, trust=0.8))
    others = problems(800, rng, trust=0.8)
    for draws in (2, 4, 16):
        found = [each.after(draws) for each in others]
        told = sum(agreement(top, votes) for top, votes, _ in filter(None, found)) / len(others)
        right = sum(is_right for _, _, is_right in filter(None, found)) / len(others)
        assert told == pytest.approx(right, abs=0.05)
    assert agreement(16, 16) > agreement(2, 2) > agreement(1, 2)


def test_no_agreement_is_worth_more_than_the_model_is_right() -> None:
    agreement = fit(problems(600, Random(2), trust=0.6))
    assert 0.5 < agreement(16, 16) < 0.75


def test_a_wanted_quality_is_reached_on_problems_that_were_not_fitted_on() -> None:
    found = {each.quality: each for each in reached(problems(600, Random(3)), (0.7, 0.9))}
    for quality, each in found.items():
        assert each.right is not None
        assert each.right.high > quality - 0.03
    assert found[0.9].draws > found[0.7].draws


def test_votes_that_cannot_be_read_are_none() -> None:
    silent = Ballots((None, None, "a"), (False, False, True))
    assert silent.after(2) is None
    assert silent.after(3) == (1, 1, True)
    with pytest.raises(BadInputError, match="too few"):
        fit([silent] * 9)


async def test_samples_are_drawn_graded_and_counted_by_kind(dozen: RecordedSet) -> None:
    (kind, ballots), *_ = (await ballots_by_kind(dozen)).items()
    assert kind == "integer"
    assert ballots[3].right == (True, False, True, False)
    assert ballots[6].right == (True, True, True, True)
    assert ballots[6].after(4) == (4, 4, True)


def test_a_file_that_does_not_say_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    file.write_text('{"agreements": {"integer": {"bias": 1.0, "slope": 2.0, "growth": 0.5}}}')
    assert read_agreements(file) == {"integer": Agreement(1.0, 2.0, 0.5)}
    file.write_text('{"agreements": {"integer": {"bias": 1.0}}}')
    with pytest.raises(BadInputError, match="does not say what votes are worth"):
        read_agreements(file)
