from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.answers import AnswerKeys, text_key
from mull.core.digest import content_digest
from mull.core.errors import (
    BudgetError,
    MullError,
    PolicyError,
    UnknownNameError,
    VerifierError,
    boundary,
)
from mull.core.expansion import Expansion, ExpansionKind, NodeId, Sampling
from mull.core.problem import AnswerKind, Message, Problem, Role
from mull.core.score import Score, Source, Verdict
from mull.core.seeds import derive_seed
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Budget, Headroom, Limit, Usage, amount


def test_equal_problems_have_equal_ids_whatever_is_said_about_them() -> None:
    one = Problem.of("2 + 2", AnswerKind.INTEGER, {"level": "1"})
    assert one.id == Problem.of("2 + 2", AnswerKind.INTEGER).id
    assert one.id != Problem.of("2 + 2").id
    assert one.id == "c384d470256b4c9021ca", "ids in old journals would no longer be found"


def test_a_problem_is_stated_by_its_last_user_turn() -> None:
    turns = (Message(Role.SYSTEM, "be brief"), Message(Role.USER, "a"), Message(Role.USER, "b"))
    assert Problem(turns).statement == "b"
    assert Problem(turns[:1]).statement == ""


def test_metadata_cannot_be_changed_from_outside() -> None:
    metadata = {"level": "1"}
    problem = Problem.of("2 + 2", metadata=metadata)
    metadata["level"] = "2"
    assert problem.metadata == {"level": "1"}


def test_a_digest_knows_where_a_part_ends() -> None:
    assert content_digest("ab", "c") != content_digest("a", "bc")
    assert content_digest("1") != content_digest(1)
    assert content_digest("a\ud800") != content_digest("a")


@given(st.integers(0, 2**63 - 1), st.lists(st.text() | st.integers()))
def test_a_seed_depends_on_its_whole_path(seed: int, path: list[str | int]) -> None:
    drawn = derive_seed(seed, *path)
    assert 0 <= drawn < 2**63
    assert drawn == derive_seed(seed, *path)
    assert drawn != derive_seed(seed, *path, "")
    assert drawn != derive_seed(seed + 1, *path)


def test_seeds_never_change_between_versions() -> None:
    assert derive_seed(0, "a", 1) == 3011468377824565604


def test_a_revised_answer_stands_for_the_one_before() -> None:
    first = Step("41", kind=StepKind.ANSWER, is_final=True)
    thought = Step("no, wait\n")
    second = Step("42", kind=StepKind.ANSWER, is_final=True)
    trajectory = Trajectory(Problem.of("6 * 7")).extend(first, thought, second)
    assert (trajectory.answer_text, trajectory.text) == ("42", "41no, wait\n42")
    assert Trajectory(trajectory.problem, (first, thought)).answer_text == ""


def test_a_trajectory_answers_with_its_answer_steps() -> None:
    thought = Step(" 3 + 4 = 7\n", (5, 6))
    answer = Step(" 7 ", (7,), kind=StepKind.ANSWER, is_final=True)
    trajectory = Trajectory(Problem.of("3 + 4")).extend(thought, answer)
    assert (trajectory.answer_text, trajectory.text) == ("7", " 3 + 4 = 7\n 7 ")
    assert trajectory.token_ids == (5, 6, 7)
    assert trajectory.is_finished
    assert not Trajectory(trajectory.problem, (thought,)).is_finished


def test_usage_adds_and_counts_every_generated_token() -> None:
    usage = Usage(visible_tokens=1, hidden_tokens=2, verifier_tokens=4, discarded_tokens=8)
    assert (usage.completion_tokens, usage.generated_tokens) == (3, 15)
    assert usage + usage == Usage(0, 0, 2, 4, 8, 16)
    spent = Usage(calls=2, seconds=1.5, flops=3.0, money_usd=0.5)
    assert [amount(spent, axis) for axis in Limit] == [0, 1.5, 2, 3.0, 0.5]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_of_nothing_is_an_error_that_names_it(value: float) -> None:
    with pytest.raises(BudgetError, match=r"`max_seconds` is .*above zero") as caught:
        Budget(max_seconds=value)
    assert caught.value.hint is not None


def test_extending_raises_only_the_limits_that_are_set_and_given() -> None:
    extended = Budget(max_tokens=10, max_calls=2).extended(Budget(max_tokens=5, max_seconds=1.0))
    assert extended == Budget(max_tokens=15, max_calls=2)


def test_headroom_never_falls_below_zero_and_meets_at_the_tighter_limit() -> None:
    left = Budget(max_tokens=10, max_calls=2).left_after(Usage(visible_tokens=12))
    assert left == Headroom(tokens=0, calls=2)
    assert left.meet(Headroom(calls=1, flops=5.0)) == Headroom(tokens=0, calls=1, flops=5.0)
    assert left.exhausted is Limit.TOKENS
    assert Headroom().exhausted is None


def test_an_unknown_name_says_what_exists_and_the_nearest() -> None:
    error = UnknownNameError("strategy", "best_of_m", ["greedy", "best_of_n"])
    assert str(error) == "no strategy `best_of_m`; known: best_of_n, greedy"
    assert error.hint == "did you mean `best_of_n`?"
    assert UnknownNameError("strategy", "x", []).hint is None


async def test_a_boundary_attributes_foreign_errors_and_lets_ours_pass() -> None:
    with pytest.raises(VerifierError, match="checker failed: ZeroDivisionError") as caught:
        async with boundary(VerifierError, "checker"):
            _ = 1 // 0
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(PolicyError, match="mine"):
        async with boundary(VerifierError, "checker"):
            raise PolicyError("mine", retryable=True)
    assert isinstance(caught.value, MullError)


def test_a_score_lies_between_zero_and_one() -> None:
    source = Source("checker", "2")
    with pytest.raises(ValueError, match=r"1\.5"):
        Score(1.5, source)
    assert not Score.unknown(source, "no idea").is_opinion
    assert Score(0.5, source).is_opinion
    assert Score(0.5, source, Verdict.REJECT, uncertainty=0.5).is_opinion
    assert str(source) == "checker@2"


def test_what_is_asked_does_not_depend_on_where_or_how_many() -> None:
    here = Expansion((NodeId("a"),), ExpansionKind.FINISH, 3)
    there = Expansion((NodeId("b"),), ExpansionKind.FINISH, 5)
    hot = Expansion((NodeId("a"),), ExpansionKind.FINISH, 3, sampling=Sampling(2.0))
    assert here.asked == there.asked
    assert here.asked != hot.asked
    assert Sampling(0.0).is_greedy


@pytest.mark.parametrize(
    ("left", "right"), [("Paris", " paris\n"), ("1 2", "1  2"), ("\uff11", "1")]
)
def test_text_answers_are_equal_up_to_case_width_and_spacing(left: str, right: str) -> None:
    problem = Problem.of("?")
    assert text_key(problem, left) == text_key(problem, right)
    assert text_key(problem, " \n") is None


def test_each_answer_kind_has_its_own_rule() -> None:
    def digits(problem: Problem, text: str) -> str | None:
        return "".join(filter(str.isdigit, text)) or None

    keys: Callable[[Problem, str], str | None] = AnswerKeys({AnswerKind.INTEGER: digits})
    assert keys(Problem.of("?", AnswerKind.INTEGER), " 2 4") == "24"
    assert keys(Problem.of("?"), " 2 4") == "2 4"
