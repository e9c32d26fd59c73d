"""Texts that grow from each other in any order: what is said of them is what a fresh pass says."""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
import torch
from toy_batches import PUNCTUATION
from toy_rewards import toy_reward_model
from toys import TOY

from mull.engine.compiled import compiled
from mull.engine.judge import Judge
from mull.engine.requests import EngineSettings, Judgement, Reading
from mull.models.inference import InferenceJudge
from mull.models.reward import Familiarity, RewardModel
from mull.models.reward_card import Head, RewardCard, RewardKind

CARD: Final = RewardCard(RewardKind.PROCESS, Head.BETA, "exact", "toy", ("countdown",))
MODEL: Final = toy_reward_model(CARD)
OUTCOME: Final = toy_reward_model(replace(CARD, kind=RewardKind.OUTCOME, head=Head.BINARY))
FAMILIAR: Final = Familiarity.of(torch.randn(500, TOY.hidden_size))
FLOAT32: Final = 1e-4


def judge_of(model: RewardModel, *, blocks: int = 1000) -> Judge:
    network = InferenceJudge(model, FAMILIAR, dtype=torch.float32, device="cpu", kernels=compiled())
    memory = blocks * 16 * network.bytes_per_token
    return Judge(network, EngineSettings(Path(), PUNCTUATION, max_kv_bytes=memory))


@dataclass(slots=True)
class Readers:
    """Asks at random for texts that go on from others, and now and then thinks better of it."""

    model: RewardModel
    chance: random.Random
    judge: Judge
    asked: dict[int, Reading] = field(default_factory=dict[int, Reading])
    said: dict[int, Judgement] = field(default_factory=dict[int, Judgement])

    def run(self, num_turns: int) -> None:
        for turn in range(num_turns):
            if turn % 3 == 0:
                self.judge.add([self.reading() for _ in range(self.chance.randrange(1, 9))])
            if self.chance.random() < 0.2:
                self.judge.cancel([self.chance.choice(list(self.asked))])
            self.turn()
        while self.judge.is_busy:
            self.turn()

    def reading(self) -> tuple[int, Reading]:
        past = [each.token_ids for each in self.asked.values()] or [(4,)]
        text = self.chance.choice(past)
        kept = text[: self.chance.randrange(1, len(text) + 1)]
        new = (self.chance.randrange(300, 320) for _ in range(self.chance.choice([0, 1, 7, 40])))
        tokens, number = (*kept, *new)[:128], len(self.asked)
        places = self.chance.choices(range(len(tokens)), k=self.chance.randrange(4))
        self.asked[number] = Reading(tokens, tuple(places))
        return number, self.asked[number]

    def turn(self) -> None:
        judged = self.judge.turn()
        self.judge.check()
        self.said |= dict(judged.judgements if judged else [])

    def worst(self) -> float:
        """The largest difference of an output from that of a fresh pass."""
        return max(self.difference(number) for number in self.said)

    @torch.inference_mode()
    def difference(self, number: int) -> float:
        reading, judgement = self.asked[number], self.said[number]
        early, late = self.model.look(torch.tensor([reading.token_ids]))
        fresh = torch.cat((self.model.score(late), FAMILIAR(early)[..., None]), -1)[0]
        assert 0 <= judgement.cached_tokens <= len(reading.token_ids)
        said = torch.tensor(judgement.outputs).view(-1, fresh.shape[1])
        return float((said - fresh[list(reading.places)]).abs().amax()) if len(said) else 0.0


@pytest.mark.parametrize(("model", "blocks"), [(MODEL, 1000), (MODEL, 12), (OUTCOME, 9)])
def test_what_is_said_of_a_text_is_what_a_fresh_pass_says(model: RewardModel, blocks: int) -> None:
    for seed in range(8):
        readers = Readers(model, random.Random(seed), judge_of(model, blocks=blocks))
        readers.run(30)
        assert len(readers.said) > 20
        assert readers.worst() < FLOAT32


def test_the_comparison_can_fail() -> None:
    readers = Readers(OUTCOME, random.Random(0), judge_of(toy_reward_model(OUTCOME.card, seed=1)))
    readers.run(6)
    assert readers.worst() > 0.01
