"""The controller that draws until an answer is good enough, or more of them are not worth it."""

from dataclasses import dataclass, replace
from typing import Final

from mull.control.beliefs import Agreement, Belief, Misses, Scores, Votes
from mull.core.answers import AnswerKey, answer_classes, text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import NodeId
from mull.core.protocols import Abstain, Candidate, Decision, Run, Situation, Stop
from mull.core.score import Score, Verdict
from mull.core.spec import Spec
from mull.core.tree import SearchTree

STRIDE: Final = 32
"""Of what was drawn, this part is drawn again at least before it is weighed again."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is wanted of an answer, and what is known by which its worth can be told."""

    quality: float = 0.95
    """The chance of being right that is asked for, strictly between 0 and 1."""
    width: int = 1
    """Answers drawn at once at the least."""
    price: float = 0.001
    """What a draw costs, as a share of what the answer is worth."""
    abstains: bool = False
    """Whether an answer below the quality is kept back."""
    is_calibrated: bool = False
    """Whether the verifier's scores are probabilities where it is not sure."""
    agreement: Agreement | None = None
    """What votes are worth; None where nobody found out."""

    def __post_init__(self) -> None:
        if not 0.0 < self.quality < 1.0:
            raise BadInputError(
                f"`quality` is {self.quality}; it must lie above 0 and below 1",
                hint="it is the chance of being right that is wanted, such as 0.9",
            )
        if self.width < 1:
            raise BadInputError(f"`width` is {self.width}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Quality:
    """Lets a strategy of whole answers draw some at a time, up to its `n`.

    It stops when an answer is accepted or believed to be right as surely as is asked, when all are
    drawn, or when the index of another draw is not above the price.
    """

    strategy: Spec
    """With an option `n`."""
    terms: Terms = Terms()
    answer_key: AnswerKey = text_key

    def decide(self, situation: Situation) -> Decision:
        """Finish what is asked for, then weigh whether more of it is wanted."""
        tree = situation.tree
        asked, belief = tree.num_asked(tree.root), self._belief(tree)
        if situation.done is None and asked:
            return self._up_to(asked)
        most = self._most - asked
        reason = self._reason(tree, belief, most) if asked else None
        if reason is None:
            soonest = belief.soonest(self.terms.quality, most)
            wanted = max(self.terms.width, soonest, asked // STRIDE)
            return self._up_to(asked + min(wanted, most))
        if self.terms.abstains and not self._is_met(tree, belief):
            return Abstain(self._verdict(tree, belief))
        return Stop(reason)

    def vouch(self, tree: SearchTree, candidate: Candidate) -> Candidate:
        """The candidate with how sure one may be of it; without its answer if that is too little.

        Where nothing can say whether it is right there is no confidence, and the notes say so.
        """
        belief = self._belief(tree)
        if candidate.answer is None:
            return candidate
        confidence = belief.chance if self._is_of_truth(tree, belief) else None
        given = replace(candidate, confidence=confidence)
        if self._is_met(tree, belief):
            return given
        answer = None if self.terms.abstains else candidate.answer
        notes = (*candidate.notes, self._verdict(tree, belief))
        return replace(given, answer=answer, notes=notes)

    @property
    def _most(self) -> int:
        return int(self.strategy.options["n"] or 1)

    @property
    def _verifier(self) -> str | None:
        named = self.strategy.options.get("verifier")
        return named if isinstance(named, str) else None

    def _up_to(self, n: int) -> Run:
        return Run(replace(self.strategy, options={**self.strategy.options, "n": n}))

    def _reason(self, tree: SearchTree, belief: Belief, most: int) -> StopReason | None:
        """Why it is enough; None while it is not."""
        if self._accepted(tree):
            return StopReason.ACCEPTED
        if belief.chance >= self.terms.quality:
            is_of_truth = self._is_of_truth(tree, belief)
            return StopReason.REACHED if is_of_truth else StopReason.SETTLED
        if most <= 0:
            return StopReason.COMPLETED
        index = belief.index(self.terms.quality, most)
        return None if index > self.terms.price else StopReason.GIVEN_UP

    def _belief(self, tree: SearchTree) -> Belief:
        scores = {node.id: self._score(tree, node.id) for node in tree.finished()}
        said = [score for score in scores.values() if score is not None and score.is_opinion]
        values = [score.value for score in said if score.verdict is not Verdict.REJECT]
        if values:
            accepted = [each.value for each in said if each.verdict is Verdict.ACCEPT]
            return Scores(accepted or values)
        # What is left of opinions are rejections, and those do not vote.
        rejected = {id_ for id_, score in scores.items() if score and score.is_opinion}
        classes = answer_classes(tree, self.answer_key, unless=rejected.__contains__)
        counts = sorted((len(each.node_ids) for each in classes), reverse=True)
        asked = tree.num_asked(tree.root)
        if not counts and (asked or self._verifier is not None):
            return Misses(asked)
        top, second = (*counts, 0, 0)[:2]
        return Votes(top, second, sum(counts), self.terms.agreement)

    def _score(self, tree: SearchTree, node_id: NodeId) -> Score | None:
        return tree.score(node_id, self._verifier) if self._verifier is not None else None

    def _accepted(self, tree: SearchTree) -> bool:
        return self._verifier is not None and bool(tree.accepted(self._verifier))

    def _is_of_truth(self, tree: SearchTree, belief: Belief) -> bool:
        """Whether the belief's chance is one of being right."""
        match belief:
            case Votes():
                return belief.agreement is not None
            case Scores():
                return self.terms.is_calibrated or self._accepted(tree)
            case _:
                return True

    def _is_met(self, tree: SearchTree, belief: Belief) -> bool:
        return self._is_of_truth(tree, belief) and belief.chance >= self.terms.quality

    def _verdict(self, tree: SearchTree, belief: Belief) -> str:
        """What was reached instead of the quality, in words."""
        asked, reached = f"quality {self.terms.quality:g}", f"{belief.chance:.3g}"
        if self._is_of_truth(tree, belief):
            return f"{asked} was asked for and is not reached: it is believed to be {reached}"
        if isinstance(belief, Votes):
            kept = f"more answers would keep this one with probability {reached}"
            return f"{asked} was asked for: {kept}; whether it is right, nothing here can say"
        return f"{asked} was asked for: `{self._verifier}` gives {reached}, which is no probability"
