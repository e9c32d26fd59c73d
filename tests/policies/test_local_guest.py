"""A reward model that lives in a policy's process judges as it does in its own."""

from pathlib import Path

import pytest
from toy_rewards import write_toy_reward_model
from toys import TOKENIZER, write_toy_checkpoint

from mull.build.models import choose_model, open_model
from mull.build.rewards import guest_among, reward_verifier
from mull.core.problem import Problem
from mull.core.steps import Step, Trajectory
from mull.engine import Dtype
from mull.tasks import generate


async def test_a_guest_asks_its_hosts_engine_and_says_what_it_says_at_home(tmp_path: Path) -> None:
    checkpoint = write_toy_checkpoint(tmp_path / "toy")
    verifier = reward_verifier("prm", write_toy_reward_model(tmp_path / "prm"))
    problem = Problem.of(generate("countdown", 4, 1, seed=0)[0].problem.statement)
    step = Step(" 1 + 2 = 3\n", tuple(TOKENIZER.encode(" 1 + 2 = 3\n")))
    paths = [Trajectory(problem, (step,)), Trajectory(problem, (step, step))]
    assert guest_among([verifier], Dtype.BFLOAT16) is None
    guest = guest_among([verifier], Dtype.FLOAT32)
    assert guest is not None
    async with open_model(choose_model(str(checkpoint)), guest=guest) as opened:
        hosted = await verifier.score(paths)
        await verifier.forget()
        again = await verifier.score(paths)
        assert opened.policy.capabilities.model.startswith("toy@")
    await verifier.close()
    at_home = await verifier.score(paths)
    await verifier.close()
    assert [each.per_step for each in hosted] == [each.per_step for each in again]
    for ours, theirs in zip(hosted, at_home, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-5)
        assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens > 0
