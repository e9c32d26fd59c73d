"""The same checkpoint in `transformers` and here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from toys import STOP, TOKENIZER, TOY, toy_decoder, write_toy_checkpoint

from mull.core.expansion import Sampling, Thinking
from mull.core.problem import Message, Problem, Role
from mull.engine.batch import Batch
from mull.engine.requests import EngineSettings, Punctuation, Request
from mull.models.checkpoint import load_checkpoint, save_checkpoint
from mull.models.inference import InferenceDecoder
from mull.policies.formats import ChatFormat

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toy"))


@dataclass(frozen=True, slots=True)
class Llama:
    """The reference implementation, through the little of it that is needed."""

    model: Any

    @classmethod
    def load(cls, folder: Path) -> "Llama":
        kind: Any = transformers.LlamaForCausalLM
        return cls(kind.from_pretrained(folder, dtype=torch.float32).eval())

    def logits(self, tokens: Tensor) -> Tensor:
        return self.model(tokens).logits

    def greedy(self, prompt: list[int], max_tokens: int) -> list[int]:
        tokens = self.model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=max_tokens, eos_token_id=STOP
        )
        return tokens[0, len(prompt) :].tolist()


def reference_tokenizer(folder: Path) -> Any:
    kind: Any = transformers.AutoTokenizer
    return kind.from_pretrained(folder)


@pytest.fixture(scope="module")
def llama(folder: Path) -> Llama:
    return Llama.load(folder)


def token_rows(rows: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, TOY.vocab_size, (rows, length), generator=generator)


@torch.inference_mode()
def test_whole_sequences_give_the_logits_of_transformers(folder: Path, llama: Llama) -> None:
    model, _ = load_checkpoint(folder)
    tokens = token_rows(3, 60)
    theirs, ours = llama.logits(tokens), model(tokens)
    assert (ours - theirs).abs().max() < 1e-4
    other = tokens.clone()
    other[:, 0] += 1
    assert (model(other)[:, -1] - ours[:, -1]).abs().max() > 1e-2, "the toy ignores its context"


def test_a_masked_pass_equals_separate_passes() -> None:
    model = toy_decoder().double()
    tokens = token_rows(1, 12)
    # Two documents in one row: the second restarts its positions and cannot see the first.
    segments = torch.tensor([0] * 5 + [1] * 7)
    hidden = ~((segments[:, None] == segments[None]) & torch.ones(12, 12).tril().bool())
    positions = torch.cat((torch.arange(5), torch.arange(7)))[None]
    packed = model(tokens, positions, hidden.double()[None, None] * -1e9)
    assert torch.allclose(packed[:, :5], model(tokens[:, :5]))
    assert torch.allclose(packed[:, 5:], model(tokens[:, 5:]))


def generate_greedily(
    folder: Path, prompts: list[list[int]], *, max_rows: int, max_tokens: int
) -> list[list[int]]:
    decoder = InferenceDecoder(load_checkpoint(folder)[0], dtype=torch.float32, device="cpu")
    punctuation = Punctuation(frozenset({STOP}), frozenset())
    batch = Batch(decoder, EngineSettings(folder, punctuation, max_rows=max_rows))
    batch.add(
        (number, Request(tuple(prompt), number, max_tokens, sampling=GREEDY))
        for number, prompt in enumerate(prompts)
    )
    drawn = dict[int, list[int]]()
    while batch.is_busy:
        report = batch.turn()
        if report is not None:
            assert report.counts == [len(report.token_ids)] or len(report.numbers) > 1
            ids = iter(report.token_ids)
            for number, count in zip(report.numbers, report.counts, strict=True):
                drawn.setdefault(number, []).extend(next(ids) for _ in range(count))
    return [drawn[number] for number in range(len(prompts))]


@pytest.mark.parametrize("max_rows", [1, 3, 64])
def test_greedy_tokens_are_those_of_transformers_whatever_the_batch(
    folder: Path, llama: Llama, max_rows: int
) -> None:
    first, second, third = ([4, 40, 300, 12], [4, 41, 5], [4, *range(300, 330), 5])
    # Forks of one prompt stand between others, so rows are copied, moved and ragged.
    prompts = [first, second, first, third, second, first, first, third]
    ours = generate_greedily(folder, prompts, max_rows=max_rows, max_tokens=30)
    for prompt, tokens in zip(prompts, ours, strict=True):
        assert tokens == llama.greedy(prompt, 30)


def test_a_checkpoint_survives_transformers_and_comes_back(
    folder: Path, llama: Llama, tmp_path: Path
) -> None:
    llama.model.save_pretrained(tmp_path)
    reference_tokenizer(folder).save_pretrained(tmp_path)
    again, tokenizer = load_checkpoint(tmp_path)
    before, _ = load_checkpoint(folder)
    assert again.config == before.config
    for name, tensor in before.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    text = "Use 4, 9, 10 and 13 once each<think> 13\n</think><|end|>"
    assert tokenizer.encode(text) == TOKENIZER.encode(text)


def test_tied_embeddings_are_stored_once_and_load_in_transformers(tmp_path: Path) -> None:
    model = toy_decoder(3, replace(TOY, tie_embeddings=True))
    save_checkpoint(tmp_path, model, TOKENIZER, dtype=torch.float16)
    theirs = Llama.load(tmp_path)
    ours, _ = load_checkpoint(tmp_path)
    assert ours.lm_head.weight is ours.model.embed_tokens.weight
    tokens = token_rows(2, 20)
    with torch.inference_mode():
        assert (ours(tokens) - theirs.logits(tokens)).abs().max() < 1e-4


@pytest.mark.parametrize("thinks", [True, False])
def test_the_chat_template_reads_the_same_through_transformers(
    folder: Path, *, thinks: bool
) -> None:
    messages = (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Multiply 84 by 29."),
        Message(Role.ASSISTANT, " 2 4 3 6"),
        Message(Role.USER, "Add 57 and 33 modulo 97."),
    )
    theirs = reference_tokenizer(folder).apply_chat_template(
        [{"role": message.role.value, "content": message.content} for message in messages],
        add_generation_prompt=True,
        return_dict=False,
        **({} if thinks else {"enable_thinking": False}),
    )
    ours = ChatFormat.load(folder, TOKENIZER).prompt(
        Problem(messages), Thinking.AUTO if thinks else Thinking.OFF
    )
    assert list(ours) == theirs
