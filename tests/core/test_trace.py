import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.codec import DecodeError, Json, decode, encode
from mull.core.errors import BadInputError, JournalCorruptError, UnknownSolveError
from mull.core.events import (
    EVENTS,
    BranchFailed,
    Charged,
    ChargeReason,
    Event,
    Extended,
    NodeGrown,
    NodeScored,
    SolveEnded,
    SolveStarted,
    StopReason,
    WaveAsked,
    event_from_json,
    event_to_json,
)
from mull.core.expansion import (
    BranchId,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    NodeId,
    Sampling,
    ScoreRequest,
    Thinking,
)
from mull.core.journal import MemoryJournal
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Journal
from mull.core.score import Score, Source, Verdict
from mull.core.spec import SolveSpec, Spec
from mull.core.state import SolveState, replay
from mull.core.steps import Step
from mull.core.usage import Budget, Limit, Usage

PROBLEM = Problem.of("What is six times seven?", AnswerKind.INTEGER, {"level": "1"})
STRATEGY = Spec("best_of_n", {"n": 4, "temperature": 0.5, "verifier": None, "fast": True})
STARTED = SolveStarted(
    PROBLEM, SolveSpec("m@1", Spec("local"), STRATEGY), seed=3, budget=Budget(max_tokens=100)
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(allow_nan=False)
usages = st.builds(Usage, visible_tokens=st.integers(0, 99), calls=st.integers(0, 1), flops=floats)
steps = st.builds(
    Step,
    texts,
    st.lists(st.integers(0, 999), max_size=4).map(tuple),
    st.lists(floats, max_size=4).map(tuple),
)
node_ids = st.sampled_from([NodeId("a.0"), NodeId("b.1")])
expansions = st.builds(
    Expansion,
    st.lists(node_ids, min_size=1, max_size=2).map(tuple),
    st.sampled_from(ExpansionKind),
    st.integers(1, 9),
    sampling=st.builds(Sampling, st.floats(0, 2), st.none() | st.integers(1, 9)),
    thinking=st.sampled_from(Thinking),
    feedback=texts,
)
scores = st.builds(
    Score,
    st.floats(0, 1),
    st.builds(Source, texts, texts),
    st.sampled_from(Verdict),
    per_step=st.lists(st.floats(0, 1), max_size=3).map(tuple),
    reason=texts,
    usage=usages,
)
branch_ids = st.just(BranchId("a"))
events: st.SearchStrategy[Event] = st.one_of(
    st.just(STARTED),
    st.builds(
        WaveAsked,
        st.integers(0, 9),
        st.just(STRATEGY),
        st.lists(expansions, max_size=2).map(tuple),
        st.lists(st.builds(ScoreRequest, node_ids, texts), max_size=2).map(tuple),
        st.lists(node_ids, max_size=2).map(tuple),
    ),
    st.builds(
        NodeGrown,
        st.builds(
            Grown, branch_ids, st.integers(0, 9), steps, usages, st.none() | st.sampled_from(Finish)
        ),
    ),
    st.builds(BranchFailed, st.builds(Failed, branch_ids, texts, usages, st.booleans())),
    st.builds(NodeScored, node_ids, scores),
    st.builds(Charged, usages, st.sampled_from(ChargeReason)),
    st.builds(Extended, st.builds(Budget, st.none() | st.integers(1, 9))),
    st.builds(
        SolveEnded,
        st.sampled_from(StopReason),
        st.none() | node_ids,
        st.none() | texts,
        st.none() | st.floats(0, 1),
        st.lists(texts, max_size=2).map(tuple),
    ),
)


@given(events)
def test_every_event_survives_json(event: Event) -> None:
    line = json.dumps(event_to_json(event))
    assert event_from_json(json.loads(line)) == event


def test_every_kind_of_event_has_a_name() -> None:
    assert set(EVENTS.values()) == set(Event.__args__)


def test_the_trace_format_never_changes_unnoticed() -> None:
    grown = Grown(BranchId("a"), 1, Step(" 42", (7,), is_final=True), Usage(calls=1), Finish.STOP)
    assert event_to_json(NodeGrown(grown)) == {
        "v": 1,
        "event": "node_grown",
        "grown": {
            "branch_id": "a",
            "index": 1,
            "step": {"text": " 42", "token_ids": [7], "is_final": True},
            "usage": {"calls": 1},
            "finish": "stop",
        },
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 2}, "version `2`"),
        ({"v": None}, "version `None`"),
        ({"event": "node_eaten"}, "`node_eaten` is unknown"),
        ({"event": 7}, "`7` is unknown"),
        ({"colour": "red"}, "no field `colour`"),
        ({"wave": "0"}, "is no int"),
        ({"wave": True}, "is no int"),
        ({"grow": 3}, "is no list"),
        ({"strategy": 3}, "is no object"),
        ({"strategy": {}}, "lacks its `name`"),
        ({"strategy": {"name": "x", "options": {"a": []}}}, "is none of"),
        ({"grow": [{"parents": ["a"], "kind": "eat"}]}, "'eat' is none of"),
    ],
)
def test_a_strange_event_is_corrupt_and_says_why(change: dict[str, Json], says: str) -> None:
    data = event_to_json(WaveAsked(0, STRATEGY)) | change
    with pytest.raises(JournalCorruptError, match=says):
        event_from_json(data)


def test_a_missing_field_is_corrupt() -> None:
    data = event_to_json(WaveAsked(0, STRATEGY))
    del data["wave"]
    with pytest.raises(JournalCorruptError, match="wave"):
        event_from_json(data)


def test_only_plain_data_is_encoded() -> None:
    with pytest.raises(TypeError, match="`object` is not plain data"):
        encode(object())
    with pytest.raises(TypeError, match="cannot be decoded"):
        decode(list[int], [])


def test_numbers_keep_their_type() -> None:
    assert decode(Usage, {"flops": 1}) == Usage(flops=1.0)
    assert isinstance(decode(Usage, {"flops": 1}).flops, float)
    with pytest.raises(DecodeError):
        decode(Usage, {"calls": 1.0})
    options = decode(Spec, encode(STRATEGY)).options
    assert options == STRATEGY.options
    assert [type(value) for value in options.values()] == [int, float, type(None), bool]


def trace() -> list[Event]:
    state = SolveState.start(STARTED)
    root = state.tree.root
    wave = WaveAsked(0, STRATEGY, (Expansion((root,), ExpansionKind.FINISH, 2),))
    state.apply(wave)
    a, b = state.tree.branches()
    usage = Usage(visible_tokens=2, calls=1)
    done = Grown(b.id, 0, Step(" 42", (1, 2), is_final=True), usage, Finish.STOP)
    node = b.node_id(0)
    return [
        STARTED,
        wave,
        NodeGrown(done),
        BranchFailed(Failed(a.id, "no reply", Usage(calls=1))),
        WaveAsked(1, STRATEGY, score=(ScoreRequest(node, "checker"),)),
        NodeScored(node, Score(1.0, Source("checker", "1"), usage=Usage(verifier_tokens=3))),
        Charged(Usage(seconds=2.0), ChargeReason.ELAPSED),
        SolveEnded(StopReason.COMPLETED, node, "42"),
    ]


def test_replay_is_a_fold_and_counts_all_spending() -> None:
    state = replay(trace())
    state.tree.check()
    assert state.usage == Usage(visible_tokens=2, verifier_tokens=3, calls=2, seconds=2.0)
    assert state.ended is not None
    assert state.ended.answer == "42"
    assert (state.num_waves, state.unscored) == (2, ())


def test_a_score_still_owed_is_remembered() -> None:
    state = replay(trace()[:5])
    assert [each.verifier for each in state.unscored] == ["checker"]


def test_extending_opens_an_ended_solve() -> None:
    state = replay([*trace(), Extended(Budget(max_tokens=200))])
    assert state.ended is None
    assert state.budget.max_tokens == 200


@pytest.mark.parametrize(
    "torn",
    [
        trace()[1:],
        [trace()[0], *trace()[2:]],
        [*trace()[:3], trace()[2]],
        [*trace()[:4], trace()[3]],
        [*trace()[:3], WaveAsked(7, STRATEGY)],
        [*trace()[:3], WaveAsked(1, STRATEGY, drop=(NodeId("nowhere"),))],
        [*trace()[:3], WaveAsked(1, STRATEGY, cancel=(BranchId("nowhere"),))],
        [*trace()[:3], NodeScored(NodeId("nowhere"), Score(1.0, Source("checker", "1")))],
        [*trace(), trace()[-1]],
    ],
    ids=["start", "wave", "step", "failure", "number", "drop", "cancel", "score", "end"],
)
def test_a_trace_that_cannot_have_happened_is_corrupt(torn: list[Event]) -> None:
    with pytest.raises(JournalCorruptError):
        replay(torn)


def test_a_solve_starts_once() -> None:
    with pytest.raises(JournalCorruptError, match="starts once"):
        replay([STARTED, STARTED])
    with pytest.raises(JournalCorruptError, match="starts with"):
        replay([])


@pytest.mark.parametrize("limit", Limit)
def test_every_limit_has_its_stop_reason(limit: Limit) -> None:
    assert StopReason.of_limit(limit).is_budget
    assert not StopReason.ACCEPTED.is_budget


async def test_the_memory_journal_keeps_traces_apart() -> None:
    journal = MemoryJournal()
    fits: Journal = journal
    await fits.append("one", trace())
    await fits.append("two", [STARTED])
    await fits.flush()
    assert list(await fits.load("one")) == trace()
    newest, oldest = await fits.solves()
    assert (newest.solve_id, newest.stop) == ("two", None)
    assert (oldest.answer, oldest.statement) == ("42", PROBLEM.statement)
    with pytest.raises(BadInputError, match="started once"):
        await fits.append("one", [STARTED])
    with pytest.raises(BadInputError, match="started once"):
        await fits.append("three", [SolveEnded(StopReason.COMPLETED)])
    with pytest.raises(UnknownSolveError, match="`four`"):
        await fits.load("four")
