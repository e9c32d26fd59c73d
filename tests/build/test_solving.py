import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from doubles import HashGuide
from replies import EXPRESSION, GAME, PRODUCT, REPLIES, RIGHT, WRONG, scripted

import mull
from mull.core.events import Event, SolveEnded, SolveStarted
from mull.core.expansion import Delta
from mull.core.journal import MemoryJournal
from mull.core.spec import Spec
from mull.policies.scripted import ScriptedPolicy, by_sample


@pytest.fixture
def model(tmp_path: Path) -> str:
    return scripted(tmp_path)


@dataclass(frozen=True, slots=True)
class EndsWith:
    """A verifier as a user writes one."""

    digit: str

    @property
    def source(self) -> mull.Source:
        return mull.Source("ends-with", self.digit)

    def quote(self, trajectories: Sequence[mull.Trajectory]) -> mull.Usage:
        return mull.Usage()

    async def score(self, trajectories: Sequence[mull.Trajectory]) -> list[mull.Score]:
        right = [each.answer_text.endswith(self.digit) for each in trajectories]
        verdicts = [mull.Verdict.ACCEPT if each else mull.Verdict.REJECT for each in right]
        return [
            mull.Score(float(each), self.source, verdict)
            for each, verdict in zip(right, verdicts, strict=True)
        ]


class FirstOfThree:
    """A strategy as a user writes one."""

    def ask(self, tree: mull.SearchTree, limit: mull.Headroom) -> mull.Ask:
        missing = 3 - len(tree.branches())
        whole = mull.Expansion((tree.root,), mull.ExpansionKind.FINISH, count=max(1, missing))
        return mull.Ask((whole,)) if missing > 0 else mull.Ask()

    def select(self, tree: mull.SearchTree) -> mull.Candidate | None:
        finished = tree.finished()
        if not finished:
            return None
        first = finished[0].id
        return mull.Candidate(first, tree.trajectory(first).answer_text)


def own_policy() -> ScriptedPolicy:
    return ScriptedPolicy(by_sample(REPLIES))


def test_solve_waits_for_an_answer(model: str) -> None:
    solution = mull.solve(GAME, model=model, n=2)
    assert solution.answer == RIGHT.strip()
    assert mull.readable_answer(solution.tree.problem, RIGHT) == EXPRESSION
    assert solution.stop is mull.StopReason.COMPLETED


async def test_solve_async_is_awaited_and_solve_refuses_to_block_a_loop(model: str) -> None:
    assert (await mull.solve_async(GAME, model=model, n=2)).answer == RIGHT.strip()
    with pytest.raises(mull.BadInputError, match="would block the event loop") as raised:
        mull.solve(GAME, model=model)
    assert raised.value.hint == "await `solve_async` instead"


def test_equal_arguments_give_equal_trees(model: str) -> None:
    first, second = (mull.solve(GAME, model=model, n=4, seed=3) for _ in range(2))
    assert first.tree.content() == second.tree.content()


def test_events_and_streamed_text_are_seen(model: str) -> None:
    seen = list[Event | Delta]()
    mull.solve(GAME, model=model, n=1, on_event=seen.append)
    assert isinstance(seen[0], SolveStarted)
    assert any(isinstance(each, Delta) for each in seen)
    assert isinstance(seen[-1], SolveEnded)


async def test_a_policy_of_ones_own_takes_any_text_and_keeps_its_words() -> None:
    text = "4 9 10 13 -> 24"
    policy = ScriptedPolicy(by_sample({text: [WRONG, RIGHT], "Sing.": ["la"]}))
    game = await mull.solve_async(text, model=policy, n=2)
    assert game.tree.problem.statement == text
    assert game.confidence == 1.0  # it is a countdown all the same, so it was checked
    song = await mull.solve_async("Sing.", model=policy, n=2)
    assert song.answer == "la"
    assert song.notes[0] == "no verifier: majority vote"


async def test_an_open_model_serves_many_solves_at_once(model: str) -> None:
    async with mull.open_model(model) as opened:
        solutions = await asyncio.gather(
            *(mull.solve_async(GAME, model=opened, n=2, seed=seed) for seed in range(5))
        )
    assert {solution.answer for solution in solutions} == {RIGHT.strip()}


async def test_a_verifier_of_ones_own_decides() -> None:
    solution = await mull.solve_async(PRODUCT, model=own_policy(), n=4, verifier=EndsWith("1"))
    assert solution.answer == "2 4 8 1 7 1"
    assert solution.confidence == 1.0


async def test_a_strategy_of_ones_own_searches() -> None:
    solution = await mull.solve_async(PRODUCT, model=own_policy(), strategy=FirstOfThree())
    assert solution.answer == "2 4 8 1 7 2"
    assert len(solution.tree.branches()) == 3


async def test_what_its_author_made_must_be_passed_again_to_resume() -> None:
    journal, own = MemoryJournal(), own_policy()
    verifier, strategy = EndsWith("1"), FirstOfThree()
    short = await mull.solve_async(
        PRODUCT, model=own, strategy=strategy, budget_tokens=10, journal=journal, solve_id="a"
    )
    assert short.stop is mull.StopReason.BUDGET_TOKENS
    with pytest.raises(mull.BadInputError, match="`FirstOfThree`") as raised:
        await mull.resume_async("a", journal=journal, more_tokens=99, model=own)
    assert raised.value.hint is not None
    with pytest.raises(mull.BadInputError, match="`ScriptedPolicy`"):
        await mull.resume_async("a", journal=journal, more_tokens=99, strategy=strategy)
    whole = await mull.resume_async(
        "a", journal=journal, more_tokens=99, model=own, strategy=strategy
    )
    assert whole.answer == "2 4 8 1 7 2"

    await mull.solve_async(
        PRODUCT, model=own, n=4, verifier=verifier, budget_tokens=10, journal=journal, solve_id="b"
    )
    with pytest.raises(mull.BadInputError, match="`ends-with`"):
        await mull.resume_async("b", journal=journal, more_tokens=99, model=own)
    checked = await mull.resume_async(
        "b", journal=journal, more_tokens=99, model=own, verifier=verifier
    )
    assert checked.answer == "2 4 8 1 7 1"


async def test_a_checker_of_another_version_is_not_mixed_in() -> None:
    journal = MemoryJournal()
    await mull.solve_async(
        GAME, model=own_policy(), budget_tokens=10, journal=journal, solve_id="a"
    )
    started = journal.traces["a"][0]
    assert isinstance(started, SolveStarted)
    old = mull.Source(started.spec.verifiers[0].verifier, "0")
    journal.traces["a"][0] = SolveStarted(
        started.problem,
        type(started.spec)(
            started.spec.model, started.spec.policy, started.spec.strategy, verifiers=(old,)
        ),
        started.seed,
        started.budget,
    )
    with pytest.raises(mull.BadInputError, match="this mull has `countdown-checker@1`"):
        await mull.resume_async("a", journal=journal, more_tokens=9, model=own_policy())


def test_a_journal_file_is_made_with_its_folders_and_resumed_from(
    model: str, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "b" / "journal.db"
    first = mull.solve(GAME, model=model, journal=path, budget_tokens=40)
    assert first.answer is None
    second = mull.resume(first.solve_id, journal=str(path), more_tokens=40)
    assert second.answer == RIGHT.strip()
    assert second.tree.problem == first.tree.problem


def test_a_setting_is_part_of_what_is_journalled(model: str) -> None:
    journal = MemoryJournal()
    mull.solve(
        GAME,
        model=model,
        n=3,
        temperature=0.5,
        max_tokens=99,
        thinking=mull.Thinking.OFF,
        journal=journal,
        solve_id="a",
    )
    started = journal.traces["a"][0]
    assert isinstance(started, SolveStarted)
    assert started.spec.strategy == Spec(
        "best_of_n",
        {
            "n": 3,
            "temperature": 0.5,
            "max_tokens": 99,
            "thinking": "off",
            "verifier": "countdown-checker",
        },
    )


@pytest.mark.parametrize(("name", "value"), [("budget_tokens", 0), ("budget_seconds", -1.0)])
def test_a_budget_without_room_is_named_as_the_caller_wrote_it(
    model: str, name: str, value: float
) -> None:
    with pytest.raises(mull.BadInputError, match=rf"`{name}` is {value}"):
        mull.solve(GAME, model=model, **{name: value})  # pyright: ignore[reportArgumentType]


async def test_a_limit_that_is_not_there_cannot_be_raised() -> None:
    journal, own = MemoryJournal(), own_policy()
    await mull.solve_async(GAME, model=own, n=2, budget_tokens=10, journal=journal, solve_id="a")
    with pytest.raises(mull.BadInputError, match="no limit on seconds"):
        await mull.resume_async("a", journal=journal, more_seconds=9, model=own)
    with pytest.raises(mull.BadInputError, match="`more_tokens` is 0"):
        await mull.resume_async("a", journal=journal, more_tokens=0, model=own)
    whole = await mull.resume_async("a", journal=journal, more_tokens=90, model=own)
    assert whole.answer == RIGHT.strip()


# Guides


def test_a_search_is_steered_by_a_guide_of_ones_own_and_can_be_resumed_with_it(
    model: str, tmp_path: Path
) -> None:
    guide, spec = HashGuide(), Spec("beam", {"shape": "2:2,2:2", "early_stop": True})
    journal = tmp_path / "journal.db"
    short = mull.solve(
        GAME, model=model, strategy=spec, guide=guide, journal=journal, budget_tokens=12
    )
    assert short.stop is mull.StopReason.BUDGET_TOKENS
    with pytest.raises(mull.BadInputError, match="a verifier of its author's own, `guide`"):
        mull.resume(short.solve_id, journal=journal, more_tokens=500)
    solution = mull.resume(short.solve_id, journal=journal, more_tokens=500, guide=guide)
    assert solution.answer == RIGHT.strip()


def test_a_guide_is_found_by_name_in_the_argument_or_among_the_options(model: str) -> None:
    named = mull.solve(GAME, model=model, strategy="beam", guide="countdown")
    optional = mull.solve(GAME, model=model, strategy=Spec("beam", {"guide": "countdown"}))
    assert named.answer == optional.answer == RIGHT.strip()
    assert named.tree.content() == optional.tree.content()


def test_equal_states_of_a_puzzle_are_one_place(model: str) -> None:
    """The second first line leaves what the first one leaves, in another order."""
    replies = (" 13 - 9 = 4 left 4 4 10\n x", " 13 - 9 = 4 left 10 4 4\n y", " 9 - 4 = 5 left 1\n")
    policy = ScriptedPolicy(by_sample({GAME: replies}))
    spec = Spec("beam", {"shape": "3:3,1:1", "guide": "countdown", "depth": 2})
    solution = mull.solve(GAME, model=policy, strategy=spec)
    first, second, third = solution.tree.children(solution.tree.root)
    assert len(solution.tree.children(first.id)) == 1
    assert not solution.tree.children(second.id)  # the same place as the first
    assert not solution.tree.children(third.id)  # an illegal line, which the guide rejects


@pytest.mark.parametrize(
    ("strategy", "guide", "says"),
    [
        ("beam", None, "strategy `beam` needs the option `guide`: a step verifier to steer by"),
        ("beam", "mull-prn", "no verifier `mull-prn`"),
        ("greedy", "countdown", "strategy `greedy` has no setting `guide`"),
    ],
)
def test_a_guide_that_does_not_fit_is_refused(
    model: str, strategy: str, guide: str | None, says: str
) -> None:
    with pytest.raises(mull.BadInputError, match=says):
        mull.solve(GAME, model=model, strategy=strategy, guide=guide)
