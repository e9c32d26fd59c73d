"""Labelled states, rows and the training of reward models: honest, resumable, and it learns."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from mull.build import find_checkpoint
from mull.core.aggregation import Aggregation
from mull.core.errors import BadInputError
from mull.models.reward import load_reward_model
from mull.models.reward_card import Head, RewardCard, RewardKind
from mull.models.tokenizer import TextTokenizer
from mull.puzzles import Chain, Countdown, recognise
from mull.tasks.game24 import game_multisets
from mull.tasks.generators import generate
from mull.tasks.split import is_held_out
from mull.training.batch import TRUNK
from mull.training.problems import SOURCES, draw_problem, shows_held_out
from mull.training.reward import RewardPlan, RewardProgress, RewardTrainer, is_validation
from mull.training.reward_fit import Judged, best_aggregation, concordance
from mull.training.reward_rows import Labels, label_branch, pack
from mull.training.reward_run import RewardRun
from mull.training.run_folder import STATE_FILE
from mull.training.states import (
    PROBLEMS_A_FILE,
    Branch,
    LabelledProblem,
    StateFolder,
    StatesPlan,
    label_states,
)

MINI = find_checkpoint("mull-mini").folder
TOKENIZER = TextTokenizer.built()
GAME = "Use 5, 7, 9 and 30 once each with + - * / to make 24."
RIGHT = (" 30 - 9 = 21 left 5 7 21\n", " 7 - 5 = 2 left 2 21\n", " 21 + 2 = 23<|end|>")


def branch(*texts: str, trials: tuple[int, ...], successes: tuple[int, ...]) -> Branch:
    steps = tuple(tuple(TOKENIZER.encode(text)) for text in texts)
    return Branch(steps, trials, successes, tuple(good > 0 for good in successes), is_right=False)


def problem(*branches: Branch, statement: str = GAME) -> LabelledProblem:
    prompt = TOKENIZER.encode(f"<|begin|><|user|>{statement}<|assistant|>")
    return LabelledProblem(statement, "countdown", tuple(prompt), branches, len(branches))


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `mull-mini` visits on a few problems, in every way there is."""
    found = dict[str, Path]()
    for search, families, count in (
        ("mc", ("countdown", "chain", "multiply"), 36),
        ("steps", ("countdown",), 12),
        ("omega", ("countdown",), 6),
    ):
        found[search] = tmp_path_factory.mktemp(search)
        plan = StatesPlan("mull-mini", families, count, search, traces=3, rollouts=1, seed=1)
        asyncio.run(label_states(StateFolder(found[search], plan), MINI, lambda done, total: None))
    return found


def every(states: dict[str, Path]) -> Iterator[LabelledProblem]:
    for folder in states.values():
        yield from StateFolder.open(folder).read()


def shown_multisets(problems: Iterator[LabelledProblem]) -> set[tuple[int, ...]]:
    """Every countdown multiset of three or more that the kept tokens show."""
    found = set[tuple[int, ...]]()
    for each in problems:
        puzzle = recognise(each.statement)
        if not isinstance(puzzle, Countdown):
            continue
        found.add(puzzle.numbers)
        for kept in each.branches:
            texts = TOKENIZER.decode([token for step in kept.steps for token in step]).split("\n")
            lefts = (text.split(" left ")[1] for text in texts if " left " in text)
            found |= {tuple(sorted(map(int, left.split()))) for left in lefts}
    return {each for each in found if len(each) >= 3}


def test_nothing_that_is_evaluated_is_among_the_states(states: dict[str, Path]) -> None:
    shown = shown_multisets(every(states))
    assert len(shown) > 100
    assert not any(map(is_held_out, shown))
    evaluated = set(game_multisets())
    for level in (3, 4, 5, 6):
        examples = generate("countdown", level, 100, 0, "test")
        evaluated |= {tuple(map(int, each.group.split())) for each in examples}
    assert not shown & evaluated
    statements = {each.statement for each in every(states)}
    for task in ("chain", "multiply"):
        assert not statements & {
            each.problem.statement
            for level in (2, 3, 4)
            for each in generate(task, level, 50, 0, "test")
        }


def test_the_proof_can_fail() -> None:
    held_out = generate("countdown", 4, 1, 0, "test")[0].problem.statement
    start = problem(statement=held_out)
    assert any(map(is_held_out, shown_multisets(iter([start]))))
    on_the_way = problem(branch(" 20 - 7 = 13 left 4 9 10 13\n", trials=(1,), successes=(0,)))
    assert any(map(is_held_out, shown_multisets(iter([on_the_way]))))


def test_a_completion_is_cut_before_it_shows_what_is_held_out() -> None:
    five = Countdown((4, 7, 9, 10, 20), 24)
    assert shows_held_out(five, " 20 - 7 = 13 left 4 9 10 13\n")
    assert not shows_held_out(five, " 20 - 7 = 13 left 4 13\n")
    # Sums are kept apart by the hash of their residues alone.
    total, rng = Chain((1, 2, 3, 4)), Random(0)
    lines = [f" left {' '.join(str(rng.randrange(97)) for _ in range(3))}" for _ in range(2_000)]
    assert 0.03 < sum(shows_held_out(total, line) for line in lines) / len(lines) < 0.07


@pytest.mark.parametrize("family", list(SOURCES))
def test_training_problems_are_of_the_training_split(family: str) -> None:
    rng = Random(4)
    statements = {draw_problem(family, rng).statement for _ in range(300)}
    assert len(statements) > 200
    assert not statements & {
        each.problem.statement
        for level in (3, 4)
        for each in generate(family, level, 300, 0, "test")
    }
    if family == "countdown":
        assert sum(statement.endswith("make 24.") for statement in statements) > 20


def test_exact_labels_and_outcomes_agree_where_an_answer_is_whole(states: dict[str, Path]) -> None:
    good = wrong = 0
    for each in StateFolder.open(states["mc"]).read():
        for kept in each.branches:
            if kept.is_right is not None:
                assert kept.exact[-1] == kept.is_right
            good += kept.is_right is True
            wrong += not all(kept.exact)
            # What rollouts have shown to be possible is possible. (In a sum two mistakes may undo
            # each other; by the rules it is lost all the same.)
            if each.family == "countdown":
                assert kept.is_right is not True or all(kept.exact)
                for successes, exact in zip(kept.successes, kept.exact, strict=True):
                    assert exact or not successes
    assert good > 10
    assert wrong > 10


def test_every_state_counts_once_whatever_passes_through_it(states: dict[str, Path]) -> None:
    for each in StateFolder.open(states["mc"]).read():
        counted = [
            kept.steps[: place + 1]
            for kept in each.branches
            for place, trials in enumerate(kept.trials)
            if trials
        ]
        assert len(counted) == len(set(counted))


def test_states_are_made_again_only_where_they_are_missing(tmp_path: Path) -> None:
    plan = StatesPlan("mull-mini", ("chain",), PROBLEMS_A_FILE + 1, "steps", traces=1, rollouts=0)
    seen = list[tuple[int, int]]()

    def make(wanted: StatesPlan) -> None:
        asyncio.run(
            label_states(
                StateFolder(tmp_path, wanted), MINI, lambda done, total: seen.append((done, total))
            )
        )

    make(replace(plan, num_problems=3))
    first = (tmp_path / "00000.jsonl").read_bytes()
    make(replace(plan, num_problems=3))
    assert seen == [(1, 1)]
    assert first == (tmp_path / "00000.jsonl").read_bytes()
    with pytest.raises(BadInputError, match="another plan"):
        make(replace(plan, seed=9))


def test_labels_mean_what_they_say() -> None:
    kept = branch(*RIGHT, trials=(4, 0, 2), successes=(1, 0, 0))
    assert label_branch(kept, Labels.SOFT) == [(1, 4), (0, 0), (0, 2)]
    assert label_branch(kept, Labels.HARD) == [(1, 1), (0, 0), (0, 1)]
    assert label_branch(kept, Labels.EXACT) == [(1, 1), (0, 0), (0, 1)]
    assert label_branch(kept, Labels.OUTCOME) == [(0, 0), (0, 0), (0, 1)]
    cut = replace(kept, is_right=None)
    assert label_branch(cut, Labels.OUTCOME)[-1] == (0, 0)


def test_a_packed_row_says_what_each_completion_says_alone() -> None:
    model, _ = load_toy()
    kept = branch(*RIGHT, trials=(4, 1, 2), successes=(1, 0, 0))
    other = branch(RIGHT[0], " 21 - 7 = 14 left 5 14\n", trials=(0, 3), successes=(0, 3))
    rows = pack([problem(kept, other)] * 2, Labels.SOFT, pad=0)
    assert len(rows) == 2
    outputs = model(rows.tokens, rows.positions, rows.attention_bias(torch.float64))
    for segment, each in ((1, kept), (2, other)):
        place = (rows.segments[0] == TRUNK) | (rows.segments[0] == segment)
        alone = model(rows.tokens[0][place][None])[0]
        torch.testing.assert_close(outputs[0][place], alone, rtol=0, atol=1e-9)
        total = rows.total[0][rows.segments[0] == segment]
        assert [int(value) for value in total if value] == [value for value in each.trials if value]
    ends = [int(token) for token in rows.tokens[0][rows.total[0] > 0]]
    newline, end = TOKENIZER.token_id("\n"), TOKENIZER.token_id("<|end|>")
    assert ends == [newline, newline, end, newline]


def load_toy() -> tuple[torch.nn.Module, RewardCard]:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    card = RewardCard(RewardKind.PROCESS, Head.BETA)
    plan = RewardPlan(RewardKind.PROCESS, "mull-mini", compiled=False)
    kept = branch(*RIGHT, trials=(4, 1, 2), successes=(1, 0, 0))
    model = RewardTrainer(plan, card, MINI, [problem(kept)], Path("never-written")).model
    torch.nn.init.normal_(model.score.weight)
    return model.double().eval(), card


class KilledError(Exception):
    pass


def train(states: Path, out: Path, *, until: int | None = None, **settings: object) -> RewardRun:
    given: dict[str, object] = {"kind": RewardKind.PROCESS, "epochs": 2, "compiled": False}
    plan = RewardPlan(start="mull-mini", **(given | settings))  # pyright: ignore[reportArgumentType]
    run = RewardRun.begin(plan, [states], MINI, out)

    def report(now: RewardProgress) -> None:
        if now.step == until:
            run.trainer.save()
            raise KilledError

    with suppress(KilledError):
        run.finish(report)
    return run


def test_a_killed_run_resumes_to_the_same_bits(states: dict[str, Path], tmp_path: Path) -> None:
    whole = train(states["mc"], tmp_path / "whole", labels=Labels.SOFT, epochs=4)
    assert whole.trainer.num_steps >= 4
    train(states["mc"], tmp_path / "killed", until=2, labels=Labels.SOFT, epochs=4)
    resumed = train(states["mc"], tmp_path / "killed", labels=Labels.SOFT, epochs=4)
    assert resumed.trainer.progress.step == whole.trainer.num_steps
    for (name, expected), (_, actual) in zip(
        whole.trainer.model.state_dict().items(),
        resumed.trainer.model.state_dict().items(),
        strict=True,
    ):
        assert torch.equal(actual, expected), name
    with pytest.raises(BadInputError, match="another plan"):
        train(states["mc"], tmp_path / "killed", labels=Labels.HARD)


def test_training_ends_in_a_calibrated_checkpoint_that_loads(
    states: dict[str, Path], tmp_path: Path
) -> None:
    run = train(states["mc"], tmp_path, labels=Labels.EXACT)
    model, familiarity = load_reward_model(tmp_path / "model")
    assert familiarity is not None
    assert model.card == run.card
    assert model.card.families == ("chain", "countdown", "multiply")
    assert model.card.labels == "exact (mc)"
    assert model.card.policy == "mull-mini"
    assert model.card.max_distance is not None
    assert (tmp_path / STATE_FILE).exists()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["mull"]["aggregation"] in {"last", "min", "product", "mean"}


@pytest.mark.parametrize("head", list(Head))
def test_an_outcome_model_learns_to_rank_completions(
    states: dict[str, Path], tmp_path: Path, head: Head
) -> None:
    run = train(
        states["mc"],
        tmp_path,
        kind=RewardKind.OUTCOME,
        labels=Labels.OUTCOME,
        head=head,
        ranking=1.0,
        epochs=1,
    )
    assert run.card.kind is RewardKind.OUTCOME
    assert run.card.aggregation == "last"


def test_states_that_lack_the_wanted_labels_are_refused(
    states: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="no rollouts"):
        train(states["steps"], tmp_path, labels=Labels.SOFT)
    with pytest.raises(BadInputError, match="holds no labelled states"):
        train(tmp_path / "nowhere", tmp_path)
    with pytest.raises(BadInputError, match="whole completion"):
        train(states["steps"], tmp_path / "steps", epochs=1)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"epochs": 0}, "at least one epoch"),
        ({"labels": Labels.OUTCOME}, "cannot learn labels `outcome`"),
        ({"ranking": 1.0}, "use it with `orm`"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(settings: dict[str, object], error: str) -> None:
    with pytest.raises(BadInputError, match=error):
        RewardPlan(RewardKind.PROCESS, "mull-mini", **settings)  # pyright: ignore[reportArgumentType]


def test_validation_problems_are_the_same_in_every_run(states: dict[str, Path]) -> None:
    split = [is_validation(each) for each in StateFolder.open(states["mc"]).read()]
    assert split == [is_validation(each) for each in StateFolder.open(states["mc"]).read()]
    assert 0 < sum(split) < len(split) / 3


def judged(name: str, means: tuple[float, ...], *, right: bool) -> Judged:
    return Judged(name, "countdown", means, 1.0, right, (True,) * len(means))


def test_the_aggregation_is_the_one_that_ranks_within_problems() -> None:
    by_min = [
        judged("a", (0.9, 0.5, 0.6), right=True),
        judged("a", (0.9, 0.1, 0.9), right=False),
        judged("b", (0.3, 0.3, 0.3), right=True),
        judged("b", (0.9, 0.2, 0.9), right=False),
    ]
    by_last = [
        judged("a", (0.1, 0.9), right=True),
        judged("a", (0.9, 0.5), right=False),
    ]
    assert best_aggregation(by_min).value == "min"
    assert best_aggregation(by_last).value == "last"
    # Problems are ranked within, never across: b's right one is below a's wrong one and wins.
    assert concordance(by_min, best_aggregation(by_min)) == 1.0
    assert concordance([judged("a", (0.5,), right=True)], best_aggregation(by_last)) == 0.5


def test_beginnings_are_compared_with_those_of_as_many_steps() -> None:
    lost = Judged("a", "countdown", (0.9, 0.2), 1.0, is_right=False, exact=(True, False))
    by_rules = [(each.means, each.is_right) for each in lost.beginnings(by_rules=True)]
    assert by_rules == [((0.9,), True), ((0.9, 0.2), False)]
    by_rollouts = [(each.means, each.is_right) for each in lost.beginnings(by_rules=False)]
    assert by_rollouts == [((0.9,), False), ((0.9, 0.2), False)]
    shorter = judged("a", (0.1,), right=True)
    assert concordance([shorter, judged("a", (0.9, 0.8), right=False)], Aggregation.LAST) == 0.5
    assert concordance([shorter, judged("a", (0.9,), right=False)], Aggregation.LAST) == 0.0
