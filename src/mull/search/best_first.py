"""Best-first search: every step is drawn where the value of a place is shared by fewest draws."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count, unscored
from mull.search.judges import Judges
from mull.search.landing import within
from mull.search.levels import known_or_worst
from mull.search.statistics import Place, survey
from mull.search.steps import Stepwise

ROOT_VALUE = 1.0
"""Of the problem itself, which nobody values."""


@dataclass(frozen=True, slots=True)
class BestFirst:
    """Draws up to `n` steps, each from the open place of the greatest v^`sharpness` / (1 + draws).

    That is how seats are given to parties by highest averages: in the end a place has had draws in
    proportion to its value, on every level alike, as REBASE shares out one level. Nothing is given
    up, so a search that meets with nothing good goes back to where it turned wrong, and to fresh
    first steps. It goes deep where values rise on the way to an answer, so it wants a guide that
    tells how likely the policy is to complete a path, not one that tells whether it is possible.
    """

    judges: Judges
    n: int = 64
    """Steps to draw."""
    width: int = 1
    """Steps a wave. Those beyond the first do not see what the others find."""
    sharpness: float = 0.5
    """1 shares draws out by value, more favours the best places, less trusts the guide less."""
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("width", self.width)
        if not 0.0 < self.sharpness <= 100.0:
            raise BadInputError(
                f"`sharpness` is {self.sharpness}; it must lie above 0 and not above 100"
            )
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """Values of new places, then the next steps."""
        if new := unscored(tree, self.judges.verifier):
            return Ask(score=new)
        if self.steps.early_stop and tree.accepted(self.judges.verifier or ""):
            return Ask(stop=StopReason.ACCEPTED)
        levels = survey(tree, self._step, self.judges, self.state_key)
        places = [place for level in levels for place in level]
        if requests := self.judges.missing(tree, [place.node_id for place in places[1:]]):
            return Ask(score=requests)
        if new := self.judges.missing_of_answers(tree):
            return Ask(score=new)
        wave = self._wave(tree, places)
        return Ask(within(tree, limit, wave, self.steps, levels_left=self.steps.depth - 1))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _step(self, tree: SearchTree, place: Place) -> tuple[Expansion, ...]:
        """The expansion of which a place's children are samples."""
        if place.depth >= self.steps.depth:
            return ()
        return self.steps.step(tree, place.node_id, 1, self.sampling)

    def _wave(self, tree: SearchTree, places: Sequence[Place]) -> list[Expansion]:
        """The next draws, together at most what is left of n; of equals those of older places."""
        open_ = [place for place in places if not (place.is_finished or place.is_dead)]
        if not open_:
            return []
        values = [self.judges.value(tree, place.node_id) for place in open_[1:]]
        weights = [value**self.sharpness for value in (ROOT_VALUE, *known_or_worst(values))]
        kinds = (branch.expansion.kind for branch in tree.branches())
        left = self.n - sum(kind is ExpansionKind.STEP for kind in kinds)
        draws = [place.num_asked for place in open_]
        for _ in range(min(self.width, left)):
            draws[max(range(len(draws)), key=lambda at: weights[at] / (1 + draws[at]))] += 1
        return [
            replace(each, count=count - place.num_asked)
            for place, count in zip(open_, draws, strict=True)
            if count > place.num_asked
            for each in self._step(tree, place)
        ]
