"""Speculative decoding changes how fast tokens come, and nothing about their distribution."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_batches import (
    DRAFT_MODEL,
    MODEL,
    PROMPTS,
    Said,
    alone,
    batch_of,
    keep,
    requests,
    run,
    same,
)

from mull.build.catalog import MODELS, present_folder
from mull.core.expansion import Sampling
from mull.engine.batch import Batch
from mull.engine.drafting import CHECKS, RESTS, verify
from mull.engine.randomness import uniforms
from mull.engine.requests import Boundary, EngineSettings, Punctuation, Request
from mull.engine.sampling import Draws, distributions, pick
from mull.models.checkpoint import load_checkpoint
from mull.models.inference import InferenceDecoder
from mull.models.transformer import Decoder

VOCABULARY = 5
widths = st.integers(1, 6)


def cells(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders in [0, 1] between which a number picks the same token."""
    return np.concatenate(([0.0], weights.cumsum() / weights.sum()))


def outcome(q: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exact distribution of one guessed token, by every cell that its three numbers can be in.

    The code itself decides a number in the middle of each cell; the cell's volume is its weight.
    """
    total, small, large = np.zeros(len(p)), torch.as_tensor(q), torch.as_tensor(p)
    guesses = cells(q)
    rest = np.maximum(p - q, 0.0)
    rests = cells(rest if rest.sum() else p)
    for low, high in itertools.pairwise(guesses):
        if high == low:
            continue
        guess = pick(small[None], np.array([(low + high) / 2])).numpy()
        keeps = min(1.0, p[guess[0]] / q[guess[0]])
        for check in ((0.0, keeps), (keeps, 1.0)):
            for again in itertools.pairwise(rests):
                volume = (high - low) * (check[1] - check[0]) * (again[1] - again[0])
                if volume == 0.0:
                    continue
                middle = [np.array([[sum(each) / 2]]) for each in (check, again)]
                verdict = verify(guess[:, None], small[None, None], large[None, None], *middle)
                token = guess[0] if verdict.accepted[0] else verdict.token_ids[0]
                total[token] += volume
    return total


vectors = st.lists(st.floats(-4, 4), min_size=VOCABULARY, max_size=VOCABULARY).map(np.array)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3]),
    top_p=st.sampled_from([0.5, 1.0]),
    min_p=st.sampled_from([0.0, 0.2]),
)


@settings(max_examples=60, deadline=None)
@given(vectors, vectors, samplings)
def test_a_guessed_token_has_exactly_the_large_models_distribution(
    small: NDArray[np.float64], large: NDArray[np.float64], sampling: Sampling
) -> None:
    each = np.ones(1)
    draws = Draws(
        each,
        each * sampling.temperature,
        np.array([sampling.top_k or 0]),
        each * sampling.top_p,
        each * sampling.min_p,
    )
    logits = (torch.log_softmax(torch.as_tensor(row)[None], -1) for row in (small, large))
    q, p = (distributions(row, draws)[0].numpy() for row in logits)
    assert outcome(q, p) == pytest.approx(p, abs=1e-12)


def test_the_exact_comparison_can_fail() -> None:
    q, p = np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.3, 0.5])
    assert outcome(q, p) == pytest.approx(p, abs=1e-12)
    kept = np.minimum(p, q)
    naive = kept + (1 - kept.sum()) * p  # a refused guess drawn from p, not from what p has more
    assert np.abs(naive - p).max() > 0.05


def whole(model: Decoder, tokens: tuple[int, ...]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return torch.log_softmax(model(torch.tensor([tokens]))[0], -1).numpy()


def expected(request: Request, said: Said) -> list[int]:
    """What every token must be, from fresh passes of both models and the numbers of its seed."""
    tokens, found = (*request.prompt, *said.token_ids), list[int]()
    start = len(request.prompt) - 1
    q, p = (np.exp(whole(model, tokens))[start:-1] for model in (DRAFT_MODEL, MODEL))
    places = request.drawn + np.arange(len(said.token_ids))
    streams = [np.uint64(0), CHECKS, RESTS]
    seeds = np.full(len(places), request.seed, np.uint64)
    draws, checks, rests = (uniforms(seeds ^ stream, places) for stream in streams)
    for at in range(len(places)):
        guess = int((q[at].cumsum() <= draws[at] * q[at].sum()).sum())
        if checks[at] * q[at, guess] < p[at, guess]:
            found.append(guess)
        else:
            more = np.maximum(p[at] - q[at], 0.0)
            found.append(int((more.cumsum() <= rests[at] * more.sum()).sum()))
    return found


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 9), st.sampled_from(PROMPTS), widths)
def test_every_token_is_the_one_that_fresh_passes_and_its_seeds_numbers_give(
    seed: int, drawn: int, prompt: tuple[int, ...], width: int
) -> None:
    request = Request(prompt, seed, 24, drawn)
    said = alone(request, guesses=width)
    assert said.token_ids == expected(request, said)
    logprobs = whole(MODEL, (*prompt, *said.token_ids))[len(prompt) - 1 : -1]
    own = logprobs[np.arange(len(said.token_ids)), said.token_ids]
    assert said.logprobs == pytest.approx(own, abs=2e-6)


@settings(max_examples=12, deadline=None)
@given(st.lists(requests, min_size=2, max_size=5), widths, widths, st.data())
def test_samples_depend_on_neither_how_many_are_guessed_nor_the_batch(
    crowd: list[Request], width: int, other: int, data: st.DataObject
) -> None:
    turns = st.integers(0, 6)
    arrivals = {number: data.draw(turns) for number in range(len(crowd))}
    cancels = {0: data.draw(turns)}
    together = run(crowd, max_rows=3, arrivals=arrivals, cancels=cancels, guesses=width)
    for number, request in enumerate(crowd):
        by_itself = alone(request, guesses=other)
        if number:
            assert same(together[number], by_itself)
            assert together[number].sizes == by_itself.sizes
        elif number in together:
            length = len(together[0].token_ids)
            assert together[0].token_ids == by_itself.token_ids[:length]


@settings(max_examples=10, deadline=None)
@given(requests, widths, st.data())
def test_a_branch_resumed_anywhere_goes_on_as_if_never_cut(
    request: Request, width: int, data: st.DataObject
) -> None:
    request = replace(request, one_step=False)
    uncut = alone(request, guesses=width)
    cut = data.draw(st.integers(0, len(uncut.token_ids) - 1))
    rest = replace(
        request,
        prompt=request.prompt + tuple(uncut.token_ids[:cut]),
        drawn=cut,
        max_tokens=request.max_tokens - cut,
    )
    assert alone(rest, guesses=width).token_ids == uncut.token_ids[cut:]


@settings(max_examples=10, deadline=None)
@given(requests, widths)
def test_greedy_tokens_stops_and_limits_are_those_without_a_draft(
    request: Request, width: int
) -> None:
    request = replace(request, sampling=Sampling(temperature=0.0))
    plain, guessed = alone(request), alone(request, guesses=width)
    assert guessed.token_ids == plain.token_ids
    assert guessed.boundaries == plain.boundaries
    assert guessed.sizes == plain.sizes


def test_the_window_ends_a_branch_whose_guesses_reach_beyond_it() -> None:
    prompt = (1, *range(300, 420))
    for width in (1, 5, 16):
        said = alone(Request(prompt, 3, 500), guesses=width)
        assert said.boundaries[-1] in {Boundary.LENGTH, Boundary.STOP}
        assert said.token_ids == expected(Request(prompt, 3, 500), said)


@torch.inference_mode()
def test_trees_grown_with_a_draft_lose_no_block_and_say_what_fresh_passes_say() -> None:
    chance, batch = random.Random(0), batch_of(12, max_kv_bytes=1 << 21, guesses=4)
    texts, said, asked = [(4,)], dict[int, Said](), dict[int, tuple[int, ...]]()
    for _ in range(120):
        if chance.random() < 0.4:
            for _ in range(chance.randrange(1, 7)):
                text = chance.choice(texts)
                prompt = (*text[: chance.randrange(1, len(text) + 1)], chance.randrange(300, 320))
                asked[len(asked)] = prompt = prompt[:90]
                number, most = len(asked) - 1, chance.randrange(1, 36)
                is_step = chance.random() < 0.5
                batch.add([(number, Request(prompt, number, most, one_step=is_step))])
        if chance.random() < 0.1 and asked:
            batch.cancel([chance.choice(list(asked))])
        keep(said, batch.turn())
        batch.check()
        texts += [(*asked[number], *each.token_ids) for number, each in said.items()][-5:]
    assert len(said) > 60
    for number, each in said.items():
        logprobs = whole(MODEL, (*asked[number], *each.token_ids))[len(asked[number]) - 1 : -1]
        own = logprobs[np.arange(len(each.token_ids)), each.token_ids]
        assert each.logprobs == pytest.approx(own, abs=2e-6)
    stats = batch.stats()
    assert 0.1 < stats.acceptance < 0.99


@torch.inference_mode()
def test_the_shipped_small_model_drafts_for_the_large_one_and_changes_no_greedy_token() -> None:
    small, large = (
        InferenceDecoder(
            load_checkpoint(present_folder(name), dtype=torch.float32)[0],
            dtype=torch.float32,
            device="cpu",
        )
        for name in ("mull-mini", "mull-base")
    )
    assert {"mull-mini", "mull-base"} <= set(MODELS)
    plain, guessed = dict[int, Said](), dict[int, Said]()
    silent = Punctuation(frozenset(), frozenset())
    for draft, said in ((None, plain), (small, guessed)):
        batch = Batch(large, EngineSettings(Path(), silent), draft)
        greedy = Sampling(temperature=0.0)
        batch.add((n, Request((1, 4, 300 + n, 5), n, 40, sampling=greedy)) for n in range(8))
        while batch.is_busy:
            keep(said, batch.turn())
    assert {n: each.token_ids for n, each in guessed.items()} == {
        n: each.token_ids for n, each in plain.items()
    }
