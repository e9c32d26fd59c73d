"""What a policy is trained on: right, legible to the checkers, and nothing that is evaluated."""

from random import Random

import pytest
import torch
from torch import Tensor

from mull.models.tokenizer import ASSISTANT, END, TextTokenizer
from mull.puzzles import recognise
from mull.tasks.game24 import game_multisets
from mull.tasks.generators import generate
from mull.tasks.split import is_held_out
from mull.training import countdown_walks
from mull.training.batch import IGNORED, PADDING, ROW_LENGTH, TRUNK, Batch, concatenate
from mull.training.countdown_rows import BRANCHES, CountdownRows
from mull.training.text_rows import TextRows

SIZES = tuple(BRANCHES)


def integers(tensor: Tensor) -> list[int]:
    return [int(value) for value in tensor]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.built()


def countdown_batch(tokenizer: TextTokenizer, size: int, rows: int = 60, seed: int = 7) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return CountdownRows.of(tokenizer).batch(rows, size, generator)


def branches(batch: Batch, tokenizer: TextTokenizer) -> list[tuple[str, str, int]]:
    """(statement, completion, trained tokens) of every branch."""
    found: list[tuple[str, str, int]] = []
    for row in range(batch.tokens.shape[0]):
        segments = batch.segments[row]
        trunk = integers(batch.tokens[row][segments == TRUNK])
        for segment in range(1, int(segments.max()) + 1):
            inside = segments == segment
            text = tokenizer.decode(trunk + integers(batch.tokens[row][inside]))
            prompt, completion = text.split(ASSISTANT)
            trained = int((batch.targets[row][inside] != IGNORED).sum())
            found.append((prompt.removeprefix("<|begin|><|user|>"), completion, trained))
    return found


def numbers_in(statement: str) -> tuple[int, ...]:
    words = statement.replace(",", " ").split(" once ")[0].split()
    return tuple(sorted(int(word) for word in words if word.isdigit()))


def states_in(completion: str) -> list[tuple[int, ...]]:
    lines = completion.split("\n")
    return [tuple(map(int, line.split(" left ")[1].split())) for line in lines if " left " in line]


@pytest.mark.parametrize("size", SIZES)
def test_every_countdown_trace_is_a_legal_derivation_that_ends_where_it_says(
    tokenizer: TextTokenizer, size: int
) -> None:
    reached = short = 0
    for statement, completion, trained in branches(countdown_batch(tokenizer, size), tokenizer):
        ruling = recognise(statement).check_answer(completion)
        last_line = completion.split("\n")[-1]
        if trained == 6:  # ` a op b = c` and the end: an honest miss
            assert not ruling.accepted
            short += 1
        elif trained:
            assert ruling.accepted, (statement, completion, last_line)
            reached += 1
    assert reached > 5 * short > 0


@pytest.mark.parametrize("size", SIZES)
def test_no_evaluated_multiset_is_trained_on_as_a_start_or_on_the_way(
    tokenizer: TextTokenizer, size: int
) -> None:
    evaluated = set(game_multisets())
    for level in SIZES:
        examples = generate("countdown", level, 100, seed=0, split="test")
        evaluated |= {numbers_in(example.problem.messages[-1].content) for example in examples}
    for statement, completion, trained in branches(
        countdown_batch(tokenizer, size, rows=300), tokenizer
    ):
        if trained:
            states = [numbers_in(statement), *states_in(completion)]
            assert not evaluated.intersection(states)
            assert not any(map(is_held_out, states))


def test_the_rule_on_tensors_is_the_rule_on_tuples() -> None:
    rng = Random(5)
    for size in range(2, 7):
        drawn = [tuple(sorted(rng.randint(1, 40) for _ in range(size))) for _ in range(4000)]
        drawn += [game for game in sorted(game_multisets()) if size == 4]
        on_tensors = integers(countdown_walks.is_held_out(torch.tensor(drawn)))
        assert on_tensors == [is_held_out(state) for state in drawn]
        assert any(on_tensors) == (size >= 3)


def test_a_leaking_walk_would_be_caught(tokenizer: TextTokenizer) -> None:
    """The proof above can fail: untrainable walks do occur and are what the filter removes."""
    generator = torch.Generator().manual_seed(0)
    starts = countdown_walks.draw_starts(2000, 5, generator)
    walks = countdown_walks.walk(starts, generator)
    leaking = [
        any(is_held_out(integers(step.remaining[index])) for step in walks.steps)
        for index in range(500)
    ]
    assert leaking == [not trainable for trainable in integers(walks.is_trainable[:500])]
    assert 0 < sum(leaking) < 500


def test_text_rows_hold_whole_documents_whose_answers_are_right(tokenizer: TextTokenizer) -> None:
    batch = TextRows(tokenizer, seed=3).batch(20)
    families: set[str] = set()
    for statement, completion, _ in branches(batch, tokenizer):
        puzzle = recognise(statement)
        families.add(puzzle.name)
        assert puzzle.check_answer(completion.removeprefix("<think></think>")).accepted
    assert families == {"chain", "countdown", "letters", "multiply"}


def test_held_out_problems_of_the_text_families_never_occur(tokenizer: TextTokenizer) -> None:
    seen = {s for s, _, _ in branches(TextRows(tokenizer, seed=11).batch(200), tokenizer)}
    for task, level in (("chain", 2), ("multiply", 2), ("letters", 1)):
        held_out = generate(task, level, 150, seed=0, split="test")
        assert not seen & {example.problem.messages[-1].content for example in held_out}


def test_rows_are_rows_of_one_length_and_the_last_target_ends_the_turn(
    tokenizer: TextTokenizer,
) -> None:
    end = tokenizer.token_id(END)
    parts = [countdown_batch(tokenizer, size, rows=2) for size in SIZES]
    batch = concatenate([*parts, TextRows(tokenizer, seed=1).batch(3)])
    assert batch.tokens.shape == (2 * len(SIZES) + 3, ROW_LENGTH)
    assert not (batch.targets[batch.segments == PADDING] != IGNORED).any()
    for row in range(batch.tokens.shape[0]):
        segments = batch.segments[row]
        for segment in range(1, int(segments.max()) + 1):
            targets = batch.targets[row][segments == segment]
            assert targets[-1] in (end, IGNORED)


def test_equal_seeds_make_equal_batches(tokenizer: TextTokenizer) -> None:
    first, second = (countdown_batch(tokenizer, 4, rows=3, seed=9) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    other = countdown_batch(tokenizer, 4, rows=3, seed=10)
    assert not torch.equal(first.tokens, other.tokens)


def test_statements_read_as_the_puzzles_write_them(tokenizer: TextTokenizer) -> None:
    for statement, _, _ in branches(countdown_batch(tokenizer, 5, rows=5), tokenizer):
        assert recognise(statement).statement == statement
