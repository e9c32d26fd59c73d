"""Beam search over steps: keep the best paths of every level, uniform or tapered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.expansion import Expansion, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count
from mull.search.judges import Judges
from mull.search.levels import Level, Walk
from mull.search.steps import Stepwise

FINISH: Final = "finish"


@dataclass(frozen=True, slots=True)
class Taper:
    """One level of a beam: how many steps each kept path grows, and how many paths are kept."""

    draws: int
    keep: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A beam level by level; the last one goes on until all paths have ended."""

    levels: tuple[Taper, ...]
    finishes: bool = False
    """Whether, after these levels, every kept path is completed greedily instead."""

    @classmethod
    def uniform(cls, width: int, expansion: int) -> "Shape":
        """N = width * expansion steps a level, of which `width` are kept (Snell et al. 2024)."""
        return cls((Taper(width * expansion, width), Taper(expansion, width)))

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """`16:8,4:4,finish`: draw 16, keep 8; draw 4 from each, keep 4; complete each greedily."""
        words = [word.strip() for word in text.split(",")]
        finishes = words[-1] == FINISH
        levels = tuple(_taper(text, word) for word in (words[:-1] if finishes else words))
        if not levels:
            raise BadInputError(f"`shape` is `{text}`; it needs a level before `{FINISH}`")
        return cls(levels, finishes)

    def at(self, depth: int) -> Taper | None:
        """The level that grows at this depth; None where paths are completed."""
        if depth < len(self.levels):
            return self.levels[depth]
        return None if self.finishes else self.levels[-1]


def _taper(text: str, word: str) -> Taper:
    draws, mark, keep = word.partition(":")
    if not (mark and draws.isdecimal() and keep.isdecimal()):
        raise BadInputError(
            f"`shape` is `{text}`; `{word}` is no level",
            hint="write DRAWS:KEEP a level, as in `16:8,4:4,finish`",
        )
    for number in (int(draws), int(keep)):
        check_count("shape", number)
    return Taper(int(draws), int(keep))


@dataclass(frozen=True, slots=True)
class Beam:
    """Keeps the `width` best places of a level and grows `expansion` steps from each.

    A finished answer among the best takes its place in the beam and does not grow. A beam that has
    fewer places than its width stays narrow: no survivor is copied to fill it up.
    """

    judges: Judges
    width: int = 4
    expansion: int = 4
    shape: str | None = None
    """A width and expansion a level, instead of those two; see `Shape.parse`."""
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state

    def __post_init__(self) -> None:
        check_count("width", self.width)
        check_count("expansion", self.expansion)
        check_count("width * expansion", self.width * self.expansion)
        self.steps.check(self.judges.verifier)
        self._shape()

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """The steps of a level, then their values."""
        return Walk(self._plan, self.judges, self.steps, self.state_key).ask(tree, limit)

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _shape(self) -> Shape:
        if self.shape is None:
            return Shape.uniform(self.width, self.expansion)
        return Shape.parse(self.shape)

    def _plan(self, tree: SearchTree, level: Level) -> Sequence[Expansion]:
        shape = self._shape()
        kept = level.best(1 if level.depth == 0 else _kept(shape, level.depth))
        going_on = [place.node_id for place in kept if not place.is_finished]
        taper = shape.at(level.depth)
        if taper is None:
            each = (self.steps.finish(tree, node_id) for node_id in going_on)
        else:
            each = (
                self.steps.step(tree, node_id, taper.draws, self.sampling) for node_id in going_on
            )
        return [expansion for expansions in each for expansion in expansions]


def _kept(shape: Shape, depth: int) -> int:
    """How many places of the level at this depth are kept: what the level that grew it says."""
    taper = shape.at(depth - 1)
    return 0 if taper is None else taper.keep
