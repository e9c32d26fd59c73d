"""Who steers and who judges: weights, votes, verifiers that fail, budgets that end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import pytest
from doubles import PROBLEM, PredicateVerifier, solver_with
from search.worlds import (
    World,
    last_letter,
    num_scored,
    play,
    table,
)

from mull.core.answers import text_key
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.score import Score, Source, Verdict
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.core.steps import Trajectory
from mull.core.usage import Budget, Usage
from mull.policies.scripted import ScriptedPolicy, by_sample
from mull.search import STRATEGIES, strategy_of, strategy_options, unguided
from mull.search.beam import Beam, Shape, Taper
from mull.search.judges import Judges
from mull.search.levels import known_or_worst
from mull.search.rerank import Rerank
from mull.search.selection import Combine
from mull.search.steps import Stepwise
from mull.search.weighted_best_of_n import WeightedBestOfN

GUIDE = Judges("guide")
ANSWERS = World({"": "XYYZ"}, table("X .6  Y .35  Z .1"))


async def weighed(combine: Combine, values: str, letters: str = "XYYZ") -> Solution:
    world = World({"": letters}, table(values))
    judges = Judges("guide", combine=combine)
    strategy = WeightedBestOfN(judges, n=len(letters), answer_key=last_letter)
    return (await play(world, strategy)).solution


@pytest.mark.parametrize(
    ("combine", "values", "answer"),
    # sum_i w_i 1[a_i = a] over X Y Y Z.     sum: X .6  Y .7*   max: X .6*  Y .35
    [
        (Combine.SUM, "X .6  Y .35  Z .1", "Y"),
        (Combine.MAX, "X .6  Y .35  Z .1", "X"),
        # sum: X .9*  Y .4, where a count of votes would say Y, and a mean X both times
        (Combine.SUM, "X .9  Y .2  Z .1", "X"),
        # a tie of .7 goes to what comes first
        (Combine.SUM, "X .7  Y .35  Z .1", "X"),
    ],
)
async def test_answers_are_weighed(combine: Combine, values: str, answer: str) -> None:
    solution = await weighed(combine, values)
    assert (solution.answer, solution.confidence) == (answer, None)


async def test_the_notes_say_how_much_weight_an_answer_has() -> None:
    solution = await weighed(Combine.SUM, "X .6  Y .35  Z .1")
    assert solution.notes == ("weight 0.7 of 1.4 in 3 answers", "by `guide`")


async def test_what_the_verifier_is_sure_of_the_guide_is_not_asked() -> None:
    judges = Judges("guide", "exact")
    played = await play(
        replace(ANSWERS, right="Z"), WeightedBestOfN(judges, n=4, answer_key=last_letter)
    )
    assert played.solution.answer == "Z"
    assert num_scored(played.events, "guide") == 0


async def test_rerank_shows_the_verifier_the_best_few_only() -> None:
    """The guide ranks C .9 B .8 A .5 D .1; of the best two the verifier takes B."""
    world = World({"": "ABCD"}, table("A .5  B .8  C .9  D .1"), right="B")
    played = await play(world, Rerank("guide", "exact", n=4, keep=2))
    assert played.story == ["grow .~", "score A B C D", "score C! B!"] or played.story[1:] == [
        "score A B C D",
        "score C! B!",
    ]
    assert (played.solution.answer, played.solution.confidence) == ("B", 1.0)
    assert num_scored(played.events, "exact") == 2


async def test_rerank_gives_the_guides_next_best_where_all_judged_are_rejected() -> None:
    world = World({"": "ABCD"}, table("A .5  B .8  C .9  D .1"), right="D")
    played = await play(world, Rerank("guide", "exact", n=4, keep=2))
    assert played.solution.answer == "A"
    assert played.solution.notes[0] == "weight 0.5 of 0.6 in 2 answers"


# Verifiers that fail


@dataclass(frozen=True, slots=True)
class Broken:
    """A guide that does what no guide should do."""

    how: str

    @property
    def source(self) -> Source:
        return Source("guide", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        match self.how:
            case "crashes":
                raise RuntimeError("out of order")
            case "says NaN":
                return [Score(nan, self.source) for _ in trajectories]
            case "says NaN of a step":
                return [Score(0.5, self.source, per_step=(nan,)) for _ in trajectories]
            case "is unsure by NaN":
                return [Score(0.5, self.source, uncertainty=nan) for _ in trajectories]
            case "leaves some out":
                return [Score(0.5, self.source) for _ in trajectories[1:]]
            case "hangs":
                await asyncio.Event().wait()
                raise AssertionError
            case "is another":
                return [Score(0.5, Source("someone", "1")) for _ in trajectories]
            case _:
                return [Score(0.5, self.source) for _ in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage()


GUIDED_SPECS = {
    "beam": Spec("beam", {"guide": "guide", "width": 2}),
    "dvts": Spec("dvts", {"guide": "guide", "subtrees": 2}),
    "rebase": Spec("rebase", {"guide": "guide", "width": 4}),
    "particles": Spec("particles", {"guide": "guide", "width": 4}),
    "tot_bfs": Spec("tot_bfs", {"guide": "guide", "breadth": 2}),
    "tot_dfs": Spec("tot_dfs", {"guide": "guide", "visits": 9}),
    "mcts": Spec("mcts", {"guide": "guide", "n": 64}),
    "best_first": Spec("best_first", {"guide": "guide", "n": 64}),
    "weighted_best_of_n": Spec("weighted_best_of_n", {"guide": "guide", "n": 4}),
    "rerank": Spec("rerank", {"guide": "guide", "verifier": "predicate", "n": 4}),
}
REPLIES = ("one\ntwo\n41", "two\nthree\n42", "three\nfour\n42", "four\nfive\n43")


def test_every_strategy_that_takes_a_guide_is_tried_with_a_broken_one() -> None:
    assert {name for name in STRATEGIES if "guide" in strategy_options(name)} == set(GUIDED_SPECS)


@pytest.mark.parametrize("spec", GUIDED_SPECS.values(), ids=GUIDED_SPECS.keys())
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("crashes", "out of order"),
        ("says NaN", "score value is nan"),
        ("says NaN of a step", "score of a step is nan"),
        ("is unsure by NaN", "score uncertainty is nan"),
        ("leaves some out", "scores for"),
        ("is another", "spoke as `someone@1`"),
        ("hangs", "did not answer in time"),
    ],
)
async def test_a_solve_goes_on_without_a_guide_that_fails_and_says_so(
    spec: Spec, how: str, says: str
) -> None:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: REPLIES}))
    verifier = PredicateVerifier(lambda answer: answer.endswith("42"))
    solver = replace(solver_with(policy, spec, Broken(how), verifier), patience=0.05)
    solution = await solver.solve(PROBLEM)
    assert solution.stop is StopReason.COMPLETED
    assert solution.answer is not None
    assert any("`guide` could not value" in note and says in note for note in solution.notes)


async def test_a_verifier_that_hangs_is_asked_once_and_no_longer_than_the_solve_may_take() -> None:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: REPLIES}))
    solver = solver_with(policy, GUIDED_SPECS["beam"], Broken("hangs"))
    solution = await solver.solve(PROBLEM, budget=Budget(max_seconds=1.2))
    # Were it asked at every level, or for the ten minutes it has without a budget, time were up.
    assert solution.stop is StopReason.BUDGET_SECONDS
    assert 1.0 < solution.usage.seconds < 2.4


async def test_a_guide_without_step_values_cannot_be_aggregated() -> None:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: REPLIES}))
    spec = Spec("beam", {"guide": "guide", "aggregation": "min"})
    solution = await solver_with(policy, spec, Broken("says one value")).solve(PROBLEM)
    assert solution.answer is not None
    assert "no value a step" in solution.notes[-1]


def test_unknown_values_are_the_worst_known() -> None:
    assert known_or_worst([0.9, None, 0.4]) == [0.9, 0.4, 0.4]
    assert known_or_worst([None, None]) == [0.5, 0.5]


@dataclass(frozen=True, slots=True)
class Line:
    """A guide that is sure of wrong steps: every path with a z in it."""

    @property
    def source(self) -> Source:
        return Source("guide", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [
            Score(0.0, self.source, Verdict.REJECT)
            if "bad" in each.text
            else Score.unknown(self.source, "legal so far")
            for each in trajectories
        ]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage()


@pytest.mark.parametrize(
    "spec", [spec for name, spec in GUIDED_SPECS.items() if name != "rerank"], ids=lambda s: s.name
)
async def test_what_a_guide_rejects_is_neither_grown_nor_given(spec: Spec) -> None:
    replies = ("bad\ntwo\n1", "two\nbad\n2", "three\nfour\n3", "four\nfive\n bad")
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: replies}))
    solution = await solver_with(policy, spec, Line()).solve(PROBLEM)
    assert "bad" not in (solution.answer or "")
    for node in solution.tree.nodes():
        score = solution.tree.score(node.id, "guide")
        is_rejected = score is not None and score.verdict is Verdict.REJECT
        if is_rejected and spec.name != "weighted_best_of_n":
            assert not solution.tree.children(node.id)
    assert solution.answer is not None


# Specs


@pytest.mark.parametrize("name", GUIDED_SPECS)
def test_a_strategy_without_its_guide_is_refused_with_those_that_need_none(name: str) -> None:
    with pytest.raises(BadInputError, match="needs the option `guide`: a step verifier") as caught:
        strategy_of(Spec(name, {"verifier": "predicate"}), text_key)
    assert caught.value.hint is not None
    assert "best_of_n, greedy, revise, self_consistency" in caught.value.hint
    assert unguided() == ("best_of_n", "greedy", "revise", "self_consistency")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("beam", {"width": 0}, "`width` is 0"),
        ("beam", {"width": 200, "expansion": 200}, "`width \\* expansion` is 40000"),
        ("beam", {"early_stop": True}, "`early_stop` ends a search at an accepted answer"),
        ("beam", {"shape": ""}, "`` is no level"),
        ("beam", {"shape": "finish"}, "needs a level before `finish`"),
        ("beam", {"shape": "4:0"}, "`shape` is 0"),
        ("beam", {"shape": "finish,4:4"}, "`finish` is no level"),
        ("beam", {"shape": "4:4:4"}, "`4:4:4` is no level"),
        ("beam", {"depth": 0}, "`depth` is 0"),
        ("beam", {"step_tokens": 0}, "`step_tokens` is 0"),
        ("beam", {"aggregation": "median"}, "'median' is none of"),
        ("beam", {"state_key": "x"}, "no option of strategy `beam` `state_key`"),
        ("dvts", {"subtrees": 0}, "`subtrees` is 0"),
        ("rebase", {"softmax_temperature": 0.0}, "`softmax_temperature` is 0.0"),
        ("particles", {"resampling": "dice"}, "'dice' is none of"),
        ("particles", {"resample": "dice"}, "no option of strategy `particles` `resample`"),
        ("tot_dfs", {"threshold": 1.5}, "`threshold` is 1.5"),
        ("mcts", {"exploration": -1.0}, "`exploration` is -1.0"),
        ("mcts", {"widening": nan}, "`widening` is nan"),
        ("best_first", {"sharpness": 0.0}, "`sharpness` is 0.0"),
        ("best_first", {"sharpness": nan}, "`sharpness` is nan"),
    ],
)
def test_options_that_make_no_sense_say_why(
    name: str, options: dict[str, Option], says: str
) -> None:
    with pytest.raises(BadInputError, match=says):
        strategy_of(Spec(name, {"guide": "guide", **options}), text_key)


def test_a_shape_reads_as_it_is_written() -> None:
    assert Shape.parse("16:8, 4:4, finish") == Shape((Taper(16, 8), Taper(4, 4)), finishes=True)
    shape = Shape.parse("16:8,4:2")
    assert [shape.at(depth) for depth in range(4)] == [Taper(16, 8), *[Taper(4, 2)] * 3]


# Early stops and budgets

DEEP = World(
    {"": "ab", "a": "cd", "b": "cd", **{p + q: "XY" for p in "ab" for q in "cd"}},
    lambda path: 0.9 if path.startswith("a") else 0.4,
    right="Y",
)


async def test_a_search_stops_at_an_accepted_answer_only_where_it_is_told_to() -> None:
    world = World({"": "aY", "a": "XY"}, table("a .9  aX .5"), right="Y")
    judges = Judges("guide", "exact")
    on = await play(world, Beam(judges, width=2, expansion=1, steps=Stepwise(early_stop=True)))
    assert (on.story, on.solution.stop) == (["grow .2", "score Y!"], StopReason.ACCEPTED)
    off = await play(world, Beam(judges, width=2, expansion=1))
    assert off.story[2:] == ["score a", "grow a1", "score aX!"]
    assert off.solution.stop is StopReason.COMPLETED


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    # A step takes 2 tokens: a beam of 2 x 2 takes 8, 8 and 8, and depth 3 is known.
    [
        # Everything fits: no detour.
        (24, ["grow .4", "score a b", "grow a2 b2; drop a b", "score ac ad bc bd",
              "grow ac2 ad2; drop b bc bd", "score acX acY adX adY"]),
        # 7 are left for the last level, which takes 8: a path is completed first, then the level.
        (23, ["grow .4", "score a b", "grow a2 b2; drop a b", "score ac ad bc bd",
              "grow ac>; drop b bc bd", "score acX", "grow ac2 ad2", "score acX acY"]),
    ],
)  # fmt: skip
async def test_a_path_is_completed_before_the_budget_ends(
    max_tokens: int, expected: list[str]
) -> None:
    steps = Stepwise(depth=3, step_tokens=2)
    beam = Beam(GUIDE, width=2, expansion=2, steps=steps, state_key=same_word)
    played = await play(replace(DEEP, right=""), beam, budget=Budget(max_tokens=max_tokens))
    assert played.story == expected
    assert played.solution.answer is not None
    assert played.solution.usage.generated_tokens <= max_tokens


def same_word(trajectory: Trajectory) -> str | None:
    return trajectory.text


async def test_the_first_step_is_drawn_alone_where_nobody_knows_what_a_step_takes() -> None:
    """64 tokens a step would not fit into 150; the 2 that the first one takes do."""
    beam = Beam(GUIDE, width=2, expansion=2, steps=Stepwise(depth=3))
    played = await play(replace(DEEP, right=""), beam, budget=Budget(max_tokens=150))
    assert played.story[:3] == ["grow .1", "grow .3", "score a b a b"]
    free = await play(replace(DEEP, right=""), beam)
    assert played.tree.content() == free.tree.content()


async def test_one_call_is_spent_on_an_answer() -> None:
    played = await play(replace(DEEP, right=""), Beam(GUIDE), budget=Budget(max_calls=1))
    assert played.story[0] == "grow .>"
    assert (played.solution.stop, played.solution.usage.calls) == (StopReason.BUDGET_CALLS, 1)
    assert played.solution.answer is not None


async def test_a_path_that_is_too_long_is_given_up() -> None:
    """An answer may take 5 tokens and a step takes 2: the third step has 1 left, and no fourth."""
    beam = Beam(GUIDE, width=1, expansion=1, steps=Stepwise(max_tokens=5))
    played = await play(World({"": "a", "a": "b", "ab": "c", "abc": "X"}, lambda _: 0.5), beam)
    assert played.solution.answer is None
    assert played.solution.usage.generated_tokens == 5
