"""What is fitted after training, on problems that were not trained on: the facts of the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from statistics import fmean
from typing import Final, NamedTuple, cast

import torch

from mull.core.aggregation import AGGREGATIONS, Aggregation
from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.models.reward import Familiarity, RewardModel
from mull.models.reward_card import RewardCard, RewardKind
from mull.training.reward_rows import Labels
from mull.training.states import Branch, LabelledProblem
from mull.verifiers.calibration import (
    Calibration,
    calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
)
from mull.verifiers.reward import distance_of, opinion_of

FAMILIAR_PROBLEMS: Final = 1_000
"""Training problems whose places say what is familiar."""
FAMILIAR_SHARE: Final = 0.97
"""Of validation completions that must not be foreign."""
TEXTS_A_PASS: Final = 128
FEWEST: Final = 20
"""Completions without which nothing is calibrated."""

MOST_BINS: Final = 15
CASES_A_BIN: Final = 100

FITS: Final[Sequence[Callable[[Sequence[float], Sequence[float]], Calibration]]] = (
    fit_platt,
    fit_temperature,
    fit_isotonic,
)


class Judged(NamedTuple):
    """A whole completion of a validation problem, and what the model says of its steps."""

    problem: str
    family: str
    means: tuple[float, ...]
    distance: float
    is_right: bool
    exact: tuple[bool, ...]
    """For each step: can it still come out right, by the rules?"""

    def beginnings(self, *, by_rules: bool) -> Iterator[Judged]:
        """Every beginning of whole steps as a completion of its own.

        Right if it can still be by the rules, or else if this completion of it was: one rollout.
        """
        for end in range(1, len(self.means) + 1):
            is_right = self.exact[end - 1] if by_rules else self.is_right
            yield self._replace(means=self.means[:end], is_right=is_right, exact=self.exact[:end])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A card with everything filled in, and what is familiar to the model."""

    card: RewardCard
    familiarity: Familiarity


def fit(
    model: RewardModel, trained: Sequence[LabelledProblem], kept: Sequence[LabelledProblem]
) -> Fitted:
    """Choose the aggregation, calibrate each family, and learn what is familiar.

    `kept` are problems that were not trained on; those with whole completions are used.
    """
    familiarity = _familiarity(model, trained[:FAMILIAR_PROBLEMS])
    judged = judge(model, familiarity, kept)
    if not judged:
        raise BadInputError(
            "no validation problem has a whole completion, so nothing can be calibrated",
            hint="label states with `--search mc` or `omega` too",
        )
    rule, told = Aggregation.LAST, judged
    if model.card.kind is RewardKind.PROCESS:
        # What a search asks about: paths on the way, told by what the model was trained to say.
        by_rules = model.card.labels.startswith(Labels.EXACT)
        told = [each for whole in judged for each in whole.beginnings(by_rules=by_rules)]
        rule = best_aggregation(told)
    calibration, error = dict[str, dict[str, object]](), dict[str, float]()
    for family in sorted({each.family for each in judged}):
        values = [(each, AGGREGATIONS[rule](each.means)) for each in told]
        mine = [(each, value) for each, value in values if each.family == family]
        if len(mine) >= FEWEST:
            fitted, error[family] = calibrate(mine)
            calibration[family] = fitted.to_json()
    distances = sorted(each.distance for each in judged)
    furthest = distances[int(FAMILIAR_SHARE * (len(distances) - 1))]
    card = replace(
        model.card,
        aggregation=rule.value,
        calibration=calibration,
        error=error,
        max_distance=round(furthest, 4),
    )
    return Fitted(card, familiarity)


def judge(
    model: RewardModel, familiarity: Familiarity, problems: Iterable[LabelledProblem]
) -> list[Judged]:
    """Every whole completion of the problems, judged, as many at once as fit."""
    whole = [
        (problem, branch, (*problem.prompt, *chain.from_iterable(branch.steps)))
        for problem in problems
        for branch in problem.branches
        if branch.is_right is not None
    ]
    whole.sort(key=lambda each: len(each[-1]))  # so that little is padding
    found = list[Judged]()
    for start in range(0, len(whole), TEXTS_A_PASS):
        batch = whole[start : start + TEXTS_A_PASS]
        places = [_ends(problem, branch, model.card.kind) for problem, branch, _ in batch]
        read = iter(_read(model, familiarity, [ids for *_, ids in batch], places))
        for (problem, branch, _), where in zip(batch, places, strict=True):
            opinions = [opinion_of(model.card.head, next(read)) for _ in where]
            found.append(
                Judged(
                    problem.statement,
                    problem.family,
                    tuple(each.mean for each in opinions),
                    distance_of(opinions),
                    bool(branch.is_right),
                    branch.exact,
                )
            )
    return found


@torch.inference_mode()
def _read(
    model: RewardModel,
    familiarity: Familiarity,
    texts: Sequence[tuple[int, ...]],
    places: Sequence[tuple[int, ...]],
) -> list[list[float]]:
    """The head's outputs and the distance at every place of every text, in order."""
    longest = max(map(len, texts))
    # Padded at the end, where causal attention never looks.
    look = model.look(torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in texts]))
    rows = torch.tensor([row for row, where in enumerate(places) for _ in where])
    columns = torch.tensor(list(chain.from_iterable(places)))
    outputs = model.score(look.late[rows, columns]).float()
    distance = familiarity(look.early[rows, columns])[:, None]
    said = torch.cat((outputs, distance), dim=-1)
    return cast("list[list[float]]", said.tolist())  # pyright: ignore[reportUnknownMemberType]


def _ends(problem: LabelledProblem, branch: Branch, kind: RewardKind) -> tuple[int, ...]:
    ends = tuple(accumulate(map(len, branch.steps), initial=len(problem.prompt) - 1))[1:]
    return ends[-1:] if kind is RewardKind.OUTCOME else ends


def best_aggregation(judged: Sequence[Judged]) -> Aggregation:
    """The rule by which right ones most often outrank wrong ones of their problem and length."""
    return max(Aggregation, key=lambda rule: concordance(judged, rule))


def concordance(judged: Sequence[Judged], rule: Aggregation) -> float:
    """Mean over problems and lengths of the chance that right outranks wrong; ties half.

    Paths are compared with those of as many steps alone, as searches do.
    """
    groups = dict[tuple[str, int], list[Judged]]()
    for each in judged:
        groups.setdefault((each.problem, len(each.means)), []).append(each)
    shares = list[float]()
    for group in groups.values():
        values = [(AGGREGATIONS[rule](each.means), each.is_right) for each in group]
        pairs = [(right, wrong) for right, good in values for wrong, bad in values if good > bad]
        if pairs:
            wins = ((right > wrong) + 0.5 * (right == wrong) for right, wrong in pairs)
            shares.append(fmean(wins))
    return fmean(shares) if shares else 0.5


def calibrate(valued: Sequence[tuple[Judged, float]]) -> tuple[Calibration, float]:
    """The map of least log loss on problems it was not fitted to, and the error left there.

    Problems are cut in two halves; each half is told by the map fitted to the other. The map that
    is kept is fitted to both.
    """
    halves: list[list[tuple[float, float]]] = [[], []]
    for each, value in valued:
        half = int(content_digest(each.problem, "half"), 16) % 2
        halves[half].append((value, float(each.is_right)))
    if not all(halves):
        halves = [halves[0] + halves[1]] * 2
    told = [_out_of_half(fitter, halves) for fitter in FITS]
    losses = [log_loss(said, seen) for said, seen in told]
    best = losses.index(min(losses))
    every = [*halves[0], *halves[1]]
    fitted = FITS[best]([value for value, _ in every], [seen for _, seen in every])
    # With few cases a bin, mere chance would look like an error.
    bins = min(MOST_BINS, max(1, len(every) // CASES_A_BIN))
    return fitted, round(calibration_error(*told[best], bins=bins), 5)


def _out_of_half(
    fitter: Callable[[Sequence[float], Sequence[float]], Calibration],
    halves: Sequence[Sequence[tuple[float, float]]],
) -> tuple[list[float], list[float]]:
    said, seen = list[float](), list[float]()
    for fitted_to, told in (halves, halves[::-1]):
        fitted = fitter([value for value, _ in fitted_to], [right for _, right in fitted_to])
        said += [fitted(value) for value, _ in told]
        seen += [right for _, right in told]
    return said, seen


@torch.inference_mode()
def _familiarity(model: RewardModel, problems: Sequence[LabelledProblem]) -> Familiarity:
    features = list[torch.Tensor]()
    for problem in problems:
        for branch in problem.branches:
            ids = torch.tensor([[*problem.prompt, *chain.from_iterable(branch.steps)]])
            places = torch.tensor(_ends(problem, branch, model.card.kind))
            features.append(model.look(ids).early[0, places])
    return Familiarity.of(torch.cat(features).float())
