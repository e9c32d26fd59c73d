"""From a wanted quality to the controller that draws until it is there."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from mull.build.answers import answer_keys
from mull.build.ready import parts_of
from mull.control import Agreement, Fixed, Quality, Terms
from mull.core.codec import DecodeError, Json, decode
from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Controller, Strategy, Verifier
from mull.core.spec import Option, Spec
from mull.puzzles import puzzle_of
from mull.search.best_of_n import BestOfN
from mull.search.self_consistency import SelfConsistency

FIXED: Final = Spec("fixed")
"""Runs its strategy to the end."""
QUALITY: Final = "quality"
DRAWN: Final = ("best_of_n", "self_consistency")
"""Strategies by name that can draw some answers and then more, and choose among all alike."""
AGREEMENT_FILE: Final = "agreement.json"
"""In a checkpoint's folder, or wherever `mull.toml` says: what votes of this model are worth."""

_FITTED: Final = fields(Agreement)

Agreements = Mapping[str, Agreement]
"""By the family of built-in puzzles, or the answer kind of other problems."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How good an answer is wanted."""

    quality: float
    """The chance of being right, strictly between 0 and 1."""
    abstain: bool = False
    """Whether an answer below it is to be kept back."""
    width: int | None = None
    """Answers drawn at once at the least."""
    agreements: Agreements = field(default_factory=dict[str, Agreement], hash=False)
    """What votes of the model are worth."""


def check_drawn(strategy: str) -> None:
    """Refuse a quality of what cannot draw some answers and then more."""
    if strategy not in DRAWN:
        raise BadInputError(
            f"`quality` needs a strategy that can draw more answers: {' or '.join(DRAWN)}",
            hint=f"`{strategy}` decides by itself how much it draws; leave one of both out",
        )


def drawn_at_most(strategy: Strategy) -> int:
    """How many answers one of those strategies draws."""
    if not isinstance(strategy, BestOfN | SelfConsistency):
        raise TypeError("only a strategy of `DRAWN` has a number of draws")
    return strategy.n


def controller_spec(wish: Wish, problem: Problem, verifier: Verifier | None) -> Spec:
    """The controller that a wish comes to; `BadInputError` where it means nothing."""
    Terms(wish.quality, wish.width or 1)
    if verifier is None and problem.answer_kind is AnswerKind.TEXT:
        raise BadInputError(
            "`quality` means nothing here: nobody can check a free text, and no two are the same",
            hint="name a verifier, or say what kind of answer is wanted",
        )
    agreement = wish.agreements.get(kind_of(problem))
    if wish.abstain and verifier is None and agreement is None:
        raise BadInputError(
            "`abstain` would keep back every answer: nothing here can say whether one is right",
            hint="name a verifier, or give the model an `agreement` in `mull.toml`",
        )
    options: dict[str, Option] = {"quality": float(wish.quality)}
    if wish.abstain:
        options["abstains"] = True
    if wish.width is not None:
        options["width"] = wish.width
    if verifier is not None and _says_chances(verifier, problem):
        options["is_calibrated"] = True
    if agreement is not None:
        options |= {each.name: getattr(agreement, each.name) for each in _FITTED}
    return Spec(QUALITY, options)


@runtime_checkable
class Calibrated(Protocol):
    """A verifier whose scores are chances for some families of problems."""

    @property
    def calibrated(self) -> Collection[str]:
        """Those families."""
        ...


def _says_chances(verifier: Verifier, problem: Problem) -> bool:
    """Whether its scores were calibrated for this kind of problem."""
    judges = (part for part in parts_of([verifier]) if isinstance(part, Calibrated))
    return any(kind_of(problem) in judge.calibrated for judge in judges)


def controller_of(spec: Spec, strategy: Spec) -> Controller:
    """The controller a spec describes, over this strategy."""
    if spec.name == FIXED.name:
        return Fixed(strategy)
    if spec.name != QUALITY:
        raise BadInputError(
            f"the solve was started with controller `{spec.name}`, which this mull does not know",
            hint="use the version of mull that started it",
        )
    options: dict[str, Json] = dict(spec.options)
    fitted = {each.name: options.pop(each.name) for each in _FITTED if each.name in options}
    try:
        terms = decode(Terms, {**options, "agreement": fitted} if fitted else options)
    except DecodeError as error:
        raise BadInputError(f"controller `{spec.name}`: {error}") from error
    return Quality(strategy, terms, answer_keys())


def read_agreements(path: Path) -> Agreements:
    """What votes are worth, by kind of problem; `BadInputError` for a file that is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {kind: decode(Agreement, each) for kind, each in content["agreements"].items()}
    except OSError as error:
        raise BadInputError(f"cannot read `{path}`: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"`{path}` does not say what votes are worth: {error}",
            hint="`mull calibrate` writes such a file",
        ) from error


def kind_of(problem: Problem) -> str:
    """What agreements are kept by: the family of a built-in puzzle, else the kind of answer."""
    puzzle = puzzle_of(problem)
    return problem.answer_kind.value if puzzle is None else puzzle.name
