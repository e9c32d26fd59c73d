"""Best-first search: every step is drawn where the value of a place is shared by fewest draws."""

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
from mull.search.places import Rules
from mull.search.steps import Stepwise
from mull.search.survey import Survey, surveyed

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
        rules = Rules(self.judges, self.steps, self.sampling, self.state_key)
        survey = surveyed(tree, rules)
        if requests := survey.missing(tree):
            return Ask(score=requests)
        wave = self._wave(tree, survey)
        return Ask(within(tree, limit, wave, self.steps, levels_left=self.steps.depth - 1))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _wave(self, tree: SearchTree, survey: Survey) -> list[Expansion]:
        """The next draws, together at most what is left of n; of equals those of older places."""
        places = survey.open_places()
        values = known_or_worst([survey.value(place) for place in places[1:]])
        weights = [value**self.sharpness for value in (ROOT_VALUE, *values)]
        kinds = (branch.expansion.kind for branch in tree.branches())
        left = self.n - sum(kind is ExpansionKind.STEP for kind in kinds)
        draws = [place.num_asked for place in places]
        for _ in range(min(self.width, left)):
            draws[max(range(len(draws)), key=lambda at: weights[at] / (1 + draws[at]))] += 1
        return [
            replace(place.step, count=count - place.num_asked)
            for place, count in zip(places, draws, strict=True)
            if place.step is not None and count > place.num_asked
        ]
