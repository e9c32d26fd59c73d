"""Reward models by name: verifiers whose engine starts when something is first scored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Final

from mull.build.catalog import REWARD_MODELS, present_folder
from mull.build.extras import needs_extra
from mull.build.ready import parts_of
from mull.core.expansion import Thinking
from mull.core.protocols import Verifier
from mull.core.score import Source
from mull.core.steps import Trajectory
from mull.engine import Dtype, Engine, EngineSettings, Judgement, Punctuation
from mull.models.config import ModelConfig
from mull.models.content import content_digest
from mull.models.reward_card import RewardCard, is_reward_model
from mull.verifiers.reward import Encoded, RewardVerifier


class LazyScorer:
    """An engine that starts when something is first scored, in the loop that runs then.

    Closed, it starts again when it is needed again.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings: Final = settings
        self._engine: asyncio.Task[Engine] | None = None
        self._host: Engine | None = None

    def live_with(self, engine: Engine) -> None:
        """Ask this engine, which runs the model beside a policy's. It stays its owner's."""
        self._host = engine

    async def score(
        self, sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]]
    ) -> list[Judgement]:
        """See `Engine.score`."""
        if not sequences:
            return []
        if self._host is not None:
            return await self._host.score(sequences, places)
        if self._engine is None:
            self._engine = asyncio.create_task(Engine.start(self.settings))
        # A caller who is cancelled must not take the engine from others who wait for it.
        engine = await asyncio.shield(self._engine)
        return await engine.score(sequences, places)

    async def forget(self) -> None:
        """See `Engine.forget`."""
        if self._host is not None:
            self._host.forget()
        elif self._engine is not None:
            engine = await asyncio.shield(self._engine)
            engine.forget()

    async def close(self) -> None:
        """End the engine, if one was started."""
        starting, self._engine, self._host = self._engine, None, None
        if starting is not None:
            engine = await starting
            await engine.close()


def guest_among(verifiers: Iterable[Verifier], dtype: Dtype) -> LazyScorer | None:
    """The first reward model of these that can live with a policy of this format; or None."""
    scorers = (part.scorer for part in parts_of(verifiers) if isinstance(part, RewardVerifier))
    lazy = (each for each in scorers if isinstance(each, LazyScorer))
    return next((each for each in lazy if each.settings.dtype is dtype), None)


def reward_folder(name: str) -> Path | None:
    """Where the reward model of that name lies: shipped, or a folder that holds one.

    None for a name that is no reward model's. `CheckpointError` for a shipped one whose weights
    this installation lacks.
    """
    if name in REWARD_MODELS:
        return present_folder(name)
    folder = Path(name).expanduser()
    return folder if is_reward_model(folder) else None


def reward_verifier(
    name: str, folder: Path, *, dtype: Dtype = Dtype.FLOAT32, device: str = "cpu"
) -> RewardVerifier:
    """The verifier of a reward model's folder; nothing is loaded until it is asked.

    It speaks as `name` where that is a shipped model's, else as the folder's absolute path.
    Raises `CheckpointError` for a folder whose small files cannot be used.
    """
    with needs_extra("local", f"reward model `{name}`"):
        encode = _encoder(folder)
    known = name if name in REWARD_MODELS else str(folder.resolve())
    settings = EngineSettings(folder, Punctuation(frozenset(), frozenset()), dtype, device)
    return RewardVerifier(
        Source(known, f"{content_digest(folder)}:{dtype}"),
        RewardCard.load(folder),
        ModelConfig.load(folder),
        LazyScorer(settings),
        encode,
    )


def _encoder(folder: Path) -> Callable[[Trajectory], Encoded]:
    """How a checkpoint's model reads a trajectory."""
    from mull.models.tokenizer import TextTokenizer
    from mull.policies.formats import ChatFormat
    from mull.policies.rewriting import token_ids_of

    tokenizer = TextTokenizer.load(folder)
    form = ChatFormat.load(folder, tokenizer)

    def encode(trajectory: Trajectory) -> Encoded:
        prompt = form.prompt(trajectory.problem, Thinking.AUTO)
        steps = token_ids_of(trajectory.steps, tokenizer)
        ends = accumulate(map(len, steps), initial=len(prompt) - 1)
        return Encoded((*prompt, *chain.from_iterable(steps)), tuple(ends)[1:])

    return encode
