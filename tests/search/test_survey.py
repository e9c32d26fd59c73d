"""What a search knows of a tree is what the tree holds, however often it looked before."""

from dataclasses import dataclass, replace
from random import Random

import pytest
from doubles import PROBLEM
from hypothesis import given
from hypothesis import strategies as st
from search.worlds import World, play, state_after_last, word

from mull.core.expansion import Branch, Call, ExpansionKind, Failed, Finish, Grown, NodeId
from mull.core.protocols import Strategy
from mull.core.score import Score, Source, Verdict
from mull.core.state import SolveState, replay
from mull.core.steps import Step
from mull.core.tree import SearchTree
from mull.core.usage import Headroom, Usage
from mull.policies.scripted import Reply
from mull.search.best_first import BestFirst
from mull.search.judges import Judges
from mull.search.levels import known_or_worst
from mull.search.mcts import Mcts, Rule
from mull.search.places import Evaluation, Place, Rules
from mull.search.steps import Stepwise, grown_by, is_finished
from mull.search.survey import Survey, surveyed

JUDGES = Judges("guide", "exact")
RULES = Rules(JUDGES, Stepwise(max_tokens=9, depth=4), state_key=state_after_last)
LETTERS = "aabbcAB"


@dataclass(slots=True)
class Gardener:
    """Writes anything a solve may write into a tree, in any order."""

    rng: Random
    rules: Rules
    tree: SearchTree
    is_thorough: bool = False
    """Ends every branch before another is asked for, judges all, and is never unsure: as solves do,
    so that one look goes on from the last."""

    def work(self) -> None:
        """One change."""
        often, seldom = (self.ask, self.judge) if self.is_thorough else (self.grow, self.ask)
        self.rng.choice((often, often, often, seldom, self.judge))()
        if self.is_thorough:
            self.end_all()
            for each in surveyed(self.tree, self.rules).rollouts(self.tree):
                self.tree.ask(each)
            self.end_all()
            self.judge_all()

    def ask(self) -> None:
        node = self.rng.choice([node for node in self.tree.nodes() if not is_finished(node)])
        depth = len(self.tree.steps(node.id))
        step = self.rules.step(self.tree, node, depth)
        rollout = self.rules.rollout(self.tree, node.id)
        for each in (step, self.rng.choice((rollout, None))):
            if each is not None:
                self.tree.ask(replace(each, count=self.rng.choice((1, 1, 3))))

    def grow(self) -> None:
        pending = self.tree.pending()
        for branch in self.rng.sample(pending, (len(pending) + 1) // 2):
            if self.rng.random() < 0.1:
                self.tree.fail(Failed(branch.id, "it failed"))
            else:
                self.extend(branch)

    def extend(self, branch: Branch) -> None:
        letter = self.rng.choice(LETTERS)
        is_final = letter.isupper()
        is_one = branch.expansion.kind is ExpansionKind.STEP
        finish = Finish.STOP if is_final else (Finish.STEP if is_one else None)
        finish = Finish.CUT if self.rng.random() < 0.1 and not is_final else finish
        index = len(self.tree.chain(branch.id))
        step = Step(f" {letter}\n", is_final=is_final)
        self.tree.grow(Grown(branch.id, index, step, Usage(visible_tokens=2), finish))

    def end_all(self) -> None:
        while self.tree.pending():
            self.grow()

    def judge_all(self) -> None:
        """Whatever a search would ask for."""
        while requests := surveyed(self.tree, self.rules).missing(self.tree):
            for each in requests:
                source = Source(each.verifier, "1")
                self.tree.judge(each.node_id, Score(self.rng.random(), source))

    def judge(self) -> None:
        node = self.rng.choice(list(self.tree.nodes()))
        name = self.rng.choice(("guide", "guide", "exact"))
        if node.id == self.tree.root or (name == "exact" and not is_finished(node)):
            return
        source = Source(name, self.rng.choice("12"))
        verdict = self.rng.choice((*Verdict, Verdict.UNKNOWN, Verdict.UNKNOWN))
        score = Score(self.rng.random(), source, verdict)
        unsure = Score.unknown(source, "it cannot tell")
        self.tree.judge(node.id, score if self.is_thorough else self.rng.choice((score, unsure)))


def known(survey: Survey, tree: SearchTree) -> object:
    """All that a search reads of it."""
    survey.back_up()
    levels = [[_known(survey, place) for place in level] for level in survey.levels]
    return levels, survey.rollouts(tree), survey.missing(tree)


def _known(survey: Survey, place: Place) -> object:
    children = [(child.node_id, count) for child, count in place.children.items()]
    value, sums = survey.value(place), (place.visits, place.total)
    return place.node_id, place.step, place.rollout, place.num_asked, children, value, sums


@pytest.mark.parametrize("evaluation", Evaluation)
@given(seed=st.integers(0, 10**9))
def test_who_looked_before_knows_what_a_first_look_finds(evaluation: Evaluation, seed: int) -> None:
    rules = replace(RULES, evaluation=evaluation)
    rng, tree = Random(seed), SearchTree(PROBLEM, "m@1", 0)
    gardener = Gardener(rng, rules, tree, is_thorough=rng.random() < 0.5)
    for _ in range(rng.randrange(60)):
        gardener.work()
        if rng.random() < 0.3:
            fresh = Survey(rules)
            assert fresh.keep_up(tree)
            assert known(surveyed(tree, rules), tree) == known(fresh, tree)


@pytest.mark.parametrize("evaluation", Evaluation)
@given(seed=st.integers(0, 10**9))
def test_a_survey_finds_what_a_walk_by_levels_finds(evaluation: Evaluation, seed: int) -> None:
    rules = replace(RULES, evaluation=evaluation)
    tree = SearchTree(PROBLEM, "m@1", 0)
    gardener = Gardener(Random(seed), rules, tree)
    for _ in range(40):
        gardener.work()
    survey = surveyed(tree, rules)
    survey.back_up()
    levels = walked(tree, rules)
    found = [[place.node_id for place in level] for level in survey.levels]
    assert found == [list(level) for level in levels]
    places = {place.node_id: place for level in survey.levels for place in level}
    children = {node_id: dict(each.children) for level in levels for node_id, each in level.items()}
    assert children == {
        node_id: {child.node_id: count for child, count in place.children.items()}
        for node_id, place in places.items()
    }
    for node_id, (visits, total) in sums(tree, rules, levels).items():
        assert (places[node_id].visits, places[node_id].total) == (visits, pytest.approx(total))


@pytest.mark.parametrize("evaluation", Evaluation)
def test_a_state_reached_again_counts_for_the_place_that_reached_it_last(
    evaluation: Evaluation,
) -> None:
    rules, tree = replace(RULES, evaluation=evaluation), SearchTree(PROBLEM, "m@1", 0)

    def drawn(parent: NodeId, depth: int, letter: str) -> NodeId:
        step = rules.step(tree, tree.node(parent), depth)
        assert step is not None
        (branch,) = tree.ask(step)
        usage = Usage(visible_tokens=2)
        node = tree.grow(Grown(branch.id, 0, Step(f" {letter}\n"), usage, Finish.STEP))
        for each in surveyed(tree, rules).rollouts(tree):
            (rolled,) = tree.ask(each)
            end = Step(" A\n", is_final=True)
            tree.grow(Grown(rolled.id, 0, end, usage, Finish.STOP))
        while requests := surveyed(tree, rules).missing(tree):
            for each in requests:
                tree.judge(each.node_id, Score(0.25, Source(each.verifier, "1")))
        return node.id

    one, other = drawn(tree.root, 0, "a"), drawn(tree.root, 0, "b")
    drawn(one, 1, "c")
    before = surveyed(tree, rules)
    before.back_up()
    drawn(other, 1, "c")
    after, fresh = surveyed(tree, rules), Survey(rules)
    assert after is before, "it goes on from where it was"
    assert fresh.keep_up(tree)
    assert known(after, tree) == known(fresh, tree)
    assert [place.visits for place in after.levels[1]] == [2, 2]


@dataclass(slots=True)
class Spot:
    """A place as a walk finds it."""

    leaf: NodeId | None
    children: dict[NodeId, int]


def walked(tree: SearchTree, rules: Rules) -> list[dict[NodeId, Spot]]:
    """The places of each level: all that grew from those above, equal states as one."""
    order = {node.id: number for number, node in enumerate(tree.nodes())}
    levels, level = list[dict[NodeId, Spot]](), {tree.root: Spot(None, {})}
    while level:
        levels.append(level)
        grown = [
            (order[node.id], node, spot)
            for node_id, spot in level.items()
            if not rules.judges.is_rejected(tree, node_id) or node_id == tree.root
            if (step := rules.step(tree, tree.node(node_id), len(levels) - 1))
            for node in grown_by(tree, step, tree.next_sample(step))
        ]
        level, first = dict[NodeId, Spot](), dict[str, NodeId]()
        for _, node, spot in sorted(grown, key=lambda each: each[0]):
            state = None if is_finished(node) else rules.state_key(tree.trajectory(node.id))
            node_id = first.setdefault(state or node.id, node.id)
            if node_id not in level:
                level[node_id] = Spot(leaf_of(tree, rules, node_id, len(levels)), {})
            spot.children[node_id] = spot.children.get(node_id, 0) + 1
    return levels


def leaf_of(tree: SearchTree, rules: Rules, node_id: NodeId, depth: int) -> NodeId | None:
    is_open = rules.step(tree, tree.node(node_id), depth) is not None
    if rules.judges.is_rejected(tree, node_id) or not is_open:
        return node_id
    rollout = rules.rollout(tree, node_id)
    if rollout is None:
        return node_id
    return next((node.id for node in grown_by(tree, rollout, 1)), None)


def sums(
    tree: SearchTree, rules: Rules, levels: list[dict[NodeId, Spot]]
) -> dict[NodeId, tuple[int, float]]:
    """Visits and total of every place: its own valuation and those below it."""
    leaves = {node_id: spot.leaf for level in levels[1:] for node_id, spot in level.items()}
    values = [leaf and rules.judges.value(tree, leaf) for leaf in leaves.values()]
    known = [None if isinstance(value, str) else value for value in values]
    own = dict(zip(leaves, known_or_worst(known), strict=True))
    summed = dict[NodeId, tuple[int, float]]()
    for level in reversed(levels):
        for node_id, spot in level.items():
            below = [summed[child] for child in spot.children]
            visits = (node_id in own) + sum(each for each, _ in below)
            summed[node_id] = visits, own.get(node_id, 0.0) + sum(each for _, each in below)
    return summed


PATHS = {
    "": LETTERS,
    **dict.fromkeys("abc", LETTERS),
    **{a + b: "AB" for a in "abc" for b in "abc"},
}
WORLD = World(PATHS, lambda path: Random(path).random())
SEARCHES = [
    BestFirst(Judges("guide"), n=12, width=2, state_key=state_after_last),
    Mcts(Judges("guide"), n=12, width=3, state_key=state_after_last),
    Mcts(Judges("guide"), n=10, rule=Rule.PUCT, evaluation=Evaluation.ROLLOUT),
]


@pytest.mark.parametrize("strategy", SEARCHES, ids=["best first", "uct", "rollouts"])
async def test_what_is_asked_does_not_depend_on_what_was_asked_before(strategy: Strategy) -> None:
    played = await play(WORLD, strategy, arrival_seed=3)
    watched: SolveState | None = None
    for length, event in enumerate(played.events[:-1], start=1):
        state = replay(played.events[:length])
        if watched is None:
            watched = state
        else:
            watched.apply(event)
        assert strategy.ask(watched.tree, Headroom()) == strategy.ask(state.tree, Headroom())
        assert strategy.ask(watched.tree, Headroom()) == strategy.ask(state.tree, Headroom())


@dataclass(frozen=True, slots=True)
class Unlucky(World):
    """Whoever completes a path that begins with `a` fails."""

    def script(self, call: Call) -> Reply | str:
        said = World.script(self, call)
        is_lost = word(call.bases[0].text).startswith("a")
        is_rollout = call.branch.expansion.kind is ExpansionKind.FINISH
        return Reply(str(said), fails_after=0) if is_lost and is_rollout else said


@pytest.mark.parametrize("rule", Rule)
async def test_a_place_whose_rollout_failed_is_worth_what_the_worst_is(rule: Rule) -> None:
    world = Unlucky(PATHS, WORLD.values)
    mcts = Mcts(Judges("guide"), n=12, rule=rule, evaluation=Evaluation.ROLLOUT)
    played = await play(world, mcts)
    assert any(node.step and word(node.step.text) == "a" for node in played.tree.nodes())
    assert played.tree.failures
    assert played.solution.answer is not None
