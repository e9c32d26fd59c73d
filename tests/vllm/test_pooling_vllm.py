"""A process reward model behind a real vLLM, against the same weights run by `transformers`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from servers.vllm import vllm_server
from transformers import Qwen2Config, Qwen2Model

from mull.build.pooling import Pooling
from mull.core.problem import Problem
from mull.core.steps import Step, Trajectory
from mull.models.tokenizer import TextTokenizer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]
TAG = "<|reserved_0|>"


@dataclass(frozen=True, slots=True)
class Rig:
    """The server, and the same model at home."""

    root: str
    body: Any
    head: Any
    tokenizer: TextTokenizer

    def tokens(self, statement: str, said: str) -> list[int]:
        """A conversation as the server reads it."""
        turns = [{"role": "user", "content": statement}, {"role": "assistant", "content": said}]
        body = json.dumps({"model": "prm", "messages": turns, "add_generation_prompt": False})
        kind = {"Content-Type": "application/json"}
        asked = Request(f"{self.root}/tokenize", body.encode(), kind)  # noqa: S310  (loopback)
        with urlopen(asked, timeout=60) as response:  # noqa: S310
            return json.load(response)["tokens"]

    @torch.inference_mode()
    def good_steps(self, tokens: list[int]) -> list[float]:
        """The probability of a good step at every tag."""
        ids = torch.tensor([tokens])
        states = self.body(input_ids=ids).last_hidden_state[ids == self.tokenizer.token_id(TAG)]
        return self.head(states).softmax(-1)[:, 1].tolist()


def save_reward_model(folder: Path) -> tuple[Any, Any, TextTokenizer]:
    """Random weights of the architecture of Qwen2.5-Math-PRM, small."""
    torch.manual_seed(5)  # pyright: ignore[reportUnknownMemberType]
    tokenizer = TextTokenizer.built()
    config = Qwen2Config(
        vocab_size=1536, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=2048,
    )  # fmt: skip
    body: Any = Qwen2Model(config).eval()
    head = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    with torch.no_grad():
        for parameter in (*body.parameters(), *head.parameters()):
            parameter.mul_(3)
    folder.mkdir()
    tokenizer.save(folder)
    weights = {f"model.{name}": each.contiguous() for name, each in body.state_dict().items()}
    weights |= {f"score.{name}": each.contiguous() for name, each in head.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    described = {**config.to_dict(), "architectures": ["Qwen2ForProcessRewardModel"]}
    described |= {"num_labels": 2, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(described))
    return body, head, tokenizer


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("prm") / "model"
    body, head, tokenizer = save_reward_model(folder)
    pooler = json.dumps({"step_tag_id": tokenizer.token_id(TAG)})
    options = ("--runner", "pooling", "--pooler-config", pooler)
    with vllm_server(folder, "prm", 8803, *options) as root:
        yield Rig(root, body, head, tokenizer)


async def test_every_step_has_the_value_that_the_weights_give_it(rig: Rig) -> None:
    verifier = Pooling(f"{rig.root}#prm", step_tag=TAG, aggregation="product").verifier("prm")
    problem = Problem.of("Use 1 2 3 4 to make 24")
    steps = ("1 * 2 = 2 left 2 3 4\n", " 2 * 3 = 6 left 4 6\n", " 4 * 6 = 24")
    paths = [Trajectory(problem, tuple(Step(text) for text in steps[:size])) for size in (1, 2, 3)]
    scores = await verifier.score(paths)
    said = "".join(f"{text.strip()}{TAG}" for text in steps)
    tokens = rig.tokens(problem.statement, said)
    expected = rig.good_steps(tokens)
    assert [len(each.per_step) for each in scores] == [1, 2, 3]
    assert scores[-1].per_step == pytest.approx(expected, abs=2e-3)
    # Attention is causal: a longer path says of its beginning what the shorter one said.
    assert scores[0].per_step == pytest.approx(expected[:1], abs=2e-3)
    assert scores[-1].value == pytest.approx(torch.tensor(expected).prod().item(), abs=2e-3)
    assert len({round(each, 3) for each in expected}) > 1
    assert scores[-1].usage.prompt_tokens == len(tokens)


async def test_a_tag_that_is_not_the_models_is_found_out(rig: Rig) -> None:
    verifier = Pooling(f"{rig.root}#prm", step_tag="+++").verifier("prm")
    (score,) = await verifier.score([Trajectory(Problem.of("What?"), (Step("a"), Step("b")))])
    assert not score.is_opinion
    assert "is `+++` its step tag?" in score.reason


async def test_a_model_that_is_not_there_is_no_opinion(rig: Rig) -> None:
    verifier = Pooling(f"{rig.root}#other", step_tag=TAG).verifier("prm")
    (score,) = await verifier.score([Trajectory(Problem.of("What?"), (Step("a"),))])
    assert not score.is_opinion
    assert "404" in score.reason
