"""One branch's samples are its own, whatever else the batch does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_batches import DECODER, MODEL, PROMPTS, Said, alone, batch_of, keep, requests, run, same
from toys import NEWLINE, STOP, TOKENIZER, TOY

from mull.core.expansion import Sampling
from mull.engine.blocks import BLOCK
from mull.engine.randomness import uniforms
from mull.engine.requests import Boundary, Punctuation, Request
from mull.models.tokenizer import END_THINK

END_THINK_ID = TOKENIZER.token_id(END_THINK)
GREEDY = Sampling(temperature=0.0)

crowds = st.lists(requests, min_size=2, max_size=5)


@settings(max_examples=15, deadline=None)
@given(crowds, st.integers(1, 8), st.data())
def test_samples_depend_on_neither_batch_size_nor_arrival(
    crowd: list[Request], max_rows: int, data: st.DataObject
) -> None:
    turns = st.integers(0, 12)
    arrivals = {number: data.draw(turns) for number in range(len(crowd))}
    together = run(crowd, max_rows=max_rows, arrivals=arrivals)
    for number, request in enumerate(crowd):
        assert same(together[number], alone(request))


@settings(max_examples=10, deadline=None)
@given(crowds, st.data())
def test_cancelled_branches_take_nothing_with_them(
    crowd: list[Request], data: st.DataObject
) -> None:
    cancels = {number: data.draw(st.integers(0, 8)) for number in range(0, len(crowd), 2)}
    said = run(crowd, max_rows=3, cancels=cancels)
    for number, request in enumerate(crowd):
        expected = alone(request)
        if number not in cancels:
            assert same(said[number], expected)
        elif number in said:
            length = len(said[number].token_ids)
            assert said[number].token_ids == expected.token_ids[:length]


@settings(max_examples=15, deadline=None)
@given(requests, st.data())
def test_a_branch_resumed_anywhere_goes_on_as_if_never_cut(
    request: Request, data: st.DataObject
) -> None:
    request = replace(request, one_step=False)
    whole = alone(request)
    drawn = len(whole.token_ids)
    cut = data.draw(st.integers(0, drawn - 1))
    rest = replace(
        request,
        prompt=request.prompt + tuple(whole.token_ids[:cut]),
        drawn=cut,
        max_tokens=request.max_tokens - cut,
    )
    resumed = alone(rest)
    assert resumed.token_ids == whole.token_ids[cut:]
    assert resumed.boundaries[-1] == whole.boundaries[-1]
    assert resumed.logprobs == pytest.approx(whole.logprobs[cut:], abs=2e-6)


def distributions(request: Request, said: Said) -> NDArray[np.float64]:
    """The model's log-probabilities where each drawn token was drawn, in one pass over them all."""
    tokens = torch.tensor([[*request.prompt, *said.token_ids]])
    with torch.inference_mode():
        logprobs = torch.log_softmax(MODEL(tokens)[0], -1)
    return logprobs.numpy()[len(request.prompt) - 1 : -1]


@settings(max_examples=10, deadline=None)
@given(requests)
def test_logprobs_are_the_models_own_whatever_the_sampling(request: Request) -> None:
    said = alone(request)
    everything = distributions(request, said)
    expected = everything[np.arange(len(everything)), said.token_ids]
    assert said.logprobs == pytest.approx(expected, abs=2e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 1000))
def test_token_number_t_is_drawn_with_number_t_of_its_seed(seed: int, drawn: int) -> None:
    request = Request(PROMPTS[0], seed, 24, drawn)
    said = alone(request)
    places = drawn + np.arange(len(said.token_ids))
    chances = uniforms(np.full(len(places), seed, np.uint64), places)
    sums = np.exp(distributions(request, said)).cumsum(-1)
    expected = [int((sums[step] <= chance).sum()) for step, chance in enumerate(chances)]
    assert said.token_ids == expected


@settings(max_examples=15, deadline=None)
@given(requests)
def test_pieces_end_where_steps_do(request: Request) -> None:
    said = alone(request)
    assert len(said.token_ids) <= request.max_tokens
    assert said.boundaries[-1].is_end
    assert not any(boundary.is_end for boundary in said.boundaries[:-1])
    assert sum(said.sizes) == len(said.token_ids)
    start, in_step = 0, 0
    for size, boundary in zip(said.sizes, said.boundaries, strict=True):
        assert size == 1 or not request.streams
        piece = said.token_ids[start : start + size]
        start, in_step = start + size, in_step + size
        late = piece[-1] == END_THINK_ID and in_step > 1
        ends_step = piece[-1] == NEWLINE or late
        assert boundary is not Boundary.INSIDE or request.streams
        match boundary:
            case Boundary.INSIDE:
                assert not ends_step
                assert piece[-1] != STOP
            case Boundary.STEP:
                assert ends_step
            case Boundary.ONE_STEP:
                assert ends_step
                assert request.one_step
            case Boundary.STOP:
                assert piece[-1] == STOP
            case Boundary.LENGTH:
                assert start == request.max_tokens
        if boundary is not Boundary.INSIDE:
            in_step = 0
    assert STOP not in said.token_ids[:-1]


def test_a_step_may_be_as_long_as_the_window() -> None:
    batch, said = batch_of(punctuation=Punctuation(frozenset(), frozenset())), dict[int, Said]()
    batch.add((seed, Request(PROMPTS[0], seed, 500)) for seed in range(3))
    while batch.is_busy:
        keep(said, batch.turn())
    room = TOY.max_positions - len(PROMPTS[0])
    for seed, each in said.items():
        expected = alone(Request(PROMPTS[0], seed, 500)).token_ids
        assert each.sizes == [room]
        assert each.boundaries == [Boundary.LENGTH]
        assert each.token_ids[: len(expected)] == expected


def test_a_think_mark_does_not_end_the_step_it_begins() -> None:
    whole = run([Request(PROMPTS[0], seed, 60) for seed in range(120)], max_rows=64)
    first, later = 0, 0
    for said in whole.values():
        start = 0
        for size in said.sizes:
            piece = said.token_ids[start : start + size]
            first += piece[0] == END_THINK_ID and size > 1
            later += END_THINK_ID in piece[1:]
            assert END_THINK_ID not in piece[1:-1]
            start += size
    assert first > 0, "the toy never begins a line with the mark"
    assert later > 0, "the toy never ends a line with the mark"


def test_the_window_ends_a_branch() -> None:
    # Of the likely tokens only numbers are left to draw, so the turn never ends by itself.
    prompt = (1, *range(300, 420))
    rows = run([Request(prompt, seed, 500, sampling=GREEDY) for seed in range(3)])
    room = TOY.max_positions - len(prompt)
    for said in rows.values():
        assert len(said.token_ids) <= room
        ends_early = said.token_ids[-1] == STOP
        assert said.boundaries[-1] is (Boundary.STOP if ends_early else Boundary.LENGTH)


def test_a_shared_prompt_is_read_once_and_forks_find_it_cached() -> None:
    prompt = PROMPTS[2]
    said = run([Request(prompt, seed, 5) for seed in range(7)], max_rows=3)
    first_pieces = sorted(each.cached_tokens[0] for each in said.values())
    assert first_pieces == [0] + [len(prompt) - 1] * 6
    assert not any(any(each.cached_tokens[1:]) for each in said.values())


def test_each_branch_has_a_seed_of_its_own() -> None:
    said = run([Request(PROMPTS[0], seed, 12) for seed in range(8)])
    assert len({tuple(each.token_ids) for each in said.values()}) > 4


def test_rows_stay_within_max_rows_and_refill_at_once() -> None:
    batch = batch_of(max_rows=2)
    lengths = [3, 1, 1, 1]
    batch.add(
        (number, Request(PROMPTS[0], number, length, sampling=GREEDY, streams=True))
        for number, length in enumerate(lengths)
    )
    assert batch.turn() is None  # the prompt is read
    # Each turn draws for exactly two rows: where one has ended, the next in line has its place.
    numbers = [report.numbers for _ in range(3) if (report := batch.turn()) is not None]
    assert [sorted(each) for each in numbers] == [[0, 1], [0, 2], [0, 3]]
    assert not batch.is_busy


def test_what_may_come_to_be_held_stays_within_its_limit() -> None:
    per_block = BLOCK * DECODER.bytes_per_token
    # A prompt takes one block for all, and 28 tokens of each branch take two: there is room for 3.
    batch = batch_of(8, max_kv_bytes=7 * per_block)
    batch.add((number, Request(PROMPTS[0], number, 28, streams=True)) for number in range(5))
    assert batch.turn() is None
    report = batch.turn()
    assert report is not None
    assert report.numbers == [0, 1, 2]
    # One that may grow to the whole window is alone when its turn comes; the others wait.
    narrow = batch_of(8, max_kv_bytes=10 * per_block)
    said = dict[int, Said]()
    narrow.add((number, Request(PROMPTS[0], number, 124)) for number in range(2))
    while narrow.is_busy:
        keep(said, narrow.turn())
        narrow.check()
    assert all(each.boundaries[-1].is_end for each in said.values())


def test_a_cancel_frees_the_row_before_the_next_turn() -> None:
    batch = batch_of(max_rows=1)
    batch.add((number, Request(PROMPTS[0], number, 40, streams=True)) for number in range(2))
    assert batch.turn() is None  # the prompt is read
    first = batch.turn()
    batch.cancel([0])
    second = batch.turn()
    assert first is not None
    assert second is not None
    assert (first.numbers, second.numbers) == ([0], [1])
    batch.cancel([1])
    assert not batch.is_busy


def test_a_cancel_of_those_who_wait_forgets_them() -> None:
    batch = batch_of(max_rows=1)
    batch.add((number, Request(PROMPTS[0], number, 2)) for number in range(3))
    batch.turn()
    batch.cancel([1, 2, 99])
    batch.check()
    said = dict[int, Said]()
    while batch.is_busy:
        keep(said, batch.turn())
    assert said.keys() == {0}


def test_an_engine_tells_what_it_holds_and_has_done() -> None:
    batch = batch_of(4)
    prompt = (1, 4, *range(300, 320), 5)
    batch.add((number, Request(prompt, number, 2)) for number in range(6))
    batch.turn()
    stats = batch.stats()
    assert (stats.num_rows, stats.num_waiting) == (4, 2)
    # 22 known tokens stand in two shared blocks; no row has a block of its own yet.
    assert (stats.num_blocks, stats.num_shared, stats.num_idle) == (2, 2, 0)
    assert stats.max_blocks == (1 << 24) // (16 * DECODER.bytes_per_token)
    assert (stats.turns, stats.known_tokens, stats.cached_tokens) == (1, 4 * 23, 3 * 22)
    batch.turn()
    assert batch.stats().num_blocks == 2 + 4
    while batch.is_busy:
        batch.turn()
    stats = batch.stats()
    assert stats.num_rows == stats.num_waiting == stats.num_blocks == 0
    assert stats.num_idle > 2
    assert stats.hit_rate == 5 * 22 / (6 * 23)
    assert 6 <= stats.drawn_tokens <= 12
    assert stats.rows_a_turn == stats.drawn_tokens / stats.turns
    assert stats.tokens_per_second > 0


def test_cache_time_is_counted() -> None:
    said = alone(Request(PROMPTS[0], 1, 20))
    assert said.kv_byte_seconds > 0
