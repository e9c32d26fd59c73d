"""What is particular to each strategy, on traces worked out by hand."""

import pytest
from doubles import PROBLEM, PredicateVerifier, solver_with

from mull.core.answers import answer_classes, text_key
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.events import StopReason
from mull.core.expansion import Sampling, Thinking
from mull.core.score import Score, Source, Verdict
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.core.usage import Headroom
from mull.policies.scripted import ScriptedPolicy, by_sample
from mull.search import STRATEGIES, strategy_named, strategy_of, strategy_options
from mull.search.attempts import Attempt
from mull.search.best_of_n import BestOfN
from mull.search.early_stop import EarlyStop
from mull.search.selection import by_score, by_score_or_votes


async def solved(spec: Spec, *replies: str, right: str = "42") -> Solution:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: replies}))
    verifier = PredicateVerifier(lambda answer: answer == right)
    return await solver_with(policy, spec, verifier).solve(PROBLEM)


async def test_greedy_takes_the_likeliest_answer_once() -> None:
    solution = await solved(Spec("greedy"), " 41", " 42")
    (branch,) = solution.tree.branches()
    assert (solution.answer, solution.confidence, solution.notes) == ("41", None, ())
    assert branch.expansion.sampling.is_greedy


async def test_best_of_n_gives_the_accepted_answer_however_rare() -> None:
    solution = await solved(
        Spec("best_of_n", {"n": 5, "verifier": "predicate"}), "1", "1", "1", "1", "42"
    )
    assert (solution.answer, solution.confidence) == ("42", 1.0)
    assert solution.stop is StopReason.COMPLETED


async def test_best_of_n_without_a_verifier_votes_and_says_so() -> None:
    solution = await solved(Spec("best_of_n", {"n": 3}), "1", "2", "2")
    assert solution.answer == "2"
    assert solution.notes == ("no verifier: majority vote", "2 of 3 votes")


async def test_best_of_n_votes_where_the_verifier_has_no_opinion() -> None:
    spec = Spec("best_of_n", {"n": 2, "verifier": "predicate"})
    solution = await solved(spec, "<think> hm\n</think>", "<think> hm\n</think>")
    assert solution.answer is None


@pytest.mark.parametrize(
    ("width", "num_drawn"),
    # The fourth answer is the first right one: waves of 1, of 3 + 3, of 5, of 7.
    [(1, 4), (3, 6), (5, 5), (7, 7)],
)
async def test_early_stop_draws_no_wave_after_the_accepted_answer(
    width: int, num_drawn: int
) -> None:
    spec = Spec("early_stop", {"n": 7, "width": width, "verifier": "predicate"})
    solution = await solved(spec, "1", "2", "3", "42", "5", "6", "7")
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert solution.usage.calls == num_drawn


async def test_early_stop_gives_up_after_n() -> None:
    solution = await solved(Spec("early_stop", {"n": 5, "width": 2, "verifier": "predicate"}), "1")
    assert (solution.answer, solution.stop) == (None, StopReason.COMPLETED)
    assert solution.usage.calls == 5
    assert "all 5 answers were rejected by `predicate@1`: wrong" in solution.notes


@pytest.mark.parametrize(
    ("answers", "winner", "votes"),
    [
        (["1", "2", "2"], "2", "2 of 3 votes"),
        (["2", "1", "1", "2"], "2", "2 of 4 votes"),  # a tie goes to the class reached first
        (["3", "1", "2", "2", "1"], "1", "2 of 5 votes"),
        (["Yes", "no", " yes "], "Yes", "2 of 3 votes"),  # classes, not strings
        (["<think> hm\n</think>", "7"], "7", "1 of 1 votes"),  # no answer, no vote
    ],
)
async def test_self_consistency_gives_what_most_agree_on(
    answers: list[str], winner: str, votes: str
) -> None:
    solution = await solved(Spec("self_consistency", {"n": len(answers)}), *answers)
    assert (solution.answer, solution.notes, solution.confidence) == (winner, (votes,), None)


async def test_no_readable_answer_is_no_answer() -> None:
    solution = await solved(Spec("self_consistency", {"n": 2}), "<think> hm\n</think>")
    assert (solution.answer, solution.trajectory) == (None, None)


async def test_strategies_share_the_answers_they_would_draw_alike() -> None:
    solution = await solved(Spec("best_of_n", {"n": 4}), "1", "2", "2", "1")
    assert [each.key for each in answer_classes(solution.tree, text_key)] == ["1", "2"]
    assert BestOfN(n=4).ask(solution.tree, Headroom()).is_empty
    (more,) = BestOfN(n=6).ask(solution.tree, Headroom()).grow
    assert more.count == 2


async def test_an_opinion_ranks_between_rejection_and_acceptance() -> None:
    solution = await solved(Spec("self_consistency", {"n": 3}), "1", "2", "3")
    source = Source("judge", "1")
    first, second, third = (node.id for node in solution.tree.finished())
    assert by_score(solution.tree, "judge") is None
    solution.tree.judge(first, Score(0.99, source, Verdict.REJECT))
    solution.tree.judge(second, Score(0.2, source))
    best = by_score(solution.tree, "judge")
    assert best is not None
    assert (best.node_id, best.answer, best.confidence) == (second, "2", None)
    solution.tree.judge(third, Score(0.1, source, Verdict.ACCEPT))
    best = by_score(solution.tree, "judge")
    assert best is not None
    assert (best.node_id, best.confidence) == (third, 0.1)


async def test_a_rejected_answer_does_not_vote_among_those_nobody_could_judge() -> None:
    solution = await solved(Spec("self_consistency", {"n": 4}), "1", "1", "1", "2")
    tree, source = solution.tree, Source("judge", "1")
    *ones, two = (node.id for node in tree.finished())
    for node_id in ones:
        tree.judge(node_id, Score(0.0, source, Verdict.REJECT))
    tree.judge(two, Score.unknown(source, "too long"))
    best = by_score_or_votes(tree, "judge", text_key)
    assert best is not None
    assert best.answer == "2"
    said = "`judge` has no opinion of what it did not reject: majority vote"
    assert best.notes == (said, "1 of 1 votes")


def test_a_spec_sets_every_option() -> None:
    own: dict[str, Option] = {"n": 3, "width": 2, "verifier": "checker"}
    grouped: dict[str, Option] = {
        "max_tokens": 9,
        "thinking": "off",
        "temperature": 0.5,
        "top_k": 4,
    }
    strategy = strategy_of(Spec("early_stop", own | grouped), text_key)
    attempt, sampling = Attempt(9, Thinking.OFF), Sampling(0.5, 4)
    assert strategy == EarlyStop("checker", 3, 2, attempt, sampling, answer_key=text_key)


def test_options_can_be_listed() -> None:
    assert strategy_options("early_stop")["verifier"]
    assert not strategy_options("early_stop")["width"]
    assert "temperature" not in strategy_options("greedy")
    assert "answer_key" not in strategy_options("greedy")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (Spec("best_of_n", {"n": 0}), "`n` is 0"),
        (Spec("best_of_n", {"n": 10_001}), "between 1 and 10000"),
        (Spec("best_of_n", {"n": "4"}), "'4' is no int"),
        (Spec("best_of_n", {"max_tokens": -1}), "`max_tokens` is -1"),
        (Spec("best_of_n", {"thinking": "hard"}), "'hard' is none of"),
        (Spec("early_stop"), "needs the option `verifier`"),
        (Spec("early_stop", {"verifier": "v", "width": 0}), "`width` is 0"),
        (Spec("self_consistency", {"n": -1}), "`n` is -1"),
        (Spec("greedy", {"temperature": 1.0}), "no option of strategy `greedy` `temperature`"),
    ],
)
def test_a_spec_that_makes_no_sense_says_why(spec: Spec, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        strategy_of(spec, text_key)


def test_an_unknown_strategy_is_named_beside_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no strategy `best-of-n`") as caught:
        strategy_named("best-of-n")
    assert caught.value.hint == "did you mean `best_of_n`?"
    assert list(STRATEGIES) == sorted(STRATEGIES)
