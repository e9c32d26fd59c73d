"""A checkpoint on this machine, run by mull's own engine.

The engine keeps what it has read while there is room, so a branch that is continued is not read
again, and `release` has nothing to free.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from mull.core.errors import CheckpointError, EngineError, PolicyError
from mull.core.expansion import (
    Call,
    Delta,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    NodeId,
    Outcome,
    Thinking,
)
from mull.core.protocols import Capabilities
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.engine import Boundary, Dtype, Engine, EngineSettings, EngineStats, Piece, Request
from mull.models.config import ModelConfig
from mull.models.content import content_digest
from mull.models.tokenizer import TextTokenizer
from mull.policies.formats import ChatFormat, TextStream

KINDS: Final = frozenset({ExpansionKind.STEP, ExpansionKind.TOKENS, ExpansionKind.FINISH})
FINISHES: Final = {
    Boundary.INSIDE: None,
    Boundary.STEP: None,
    Boundary.ONE_STEP: Finish.STEP,
    Boundary.STOP: Finish.STOP,
    Boundary.LENGTH: Finish.LENGTH,
}


@dataclass(slots=True)
class Growing:
    """One call while its pieces come in. Owned by the `expand` it is part of."""

    call: Call
    prompt: tuple[int, ...]
    """The problem, the trajectory so far, and where the model goes on."""
    thinks: bool
    """Whether the next token is inside a think block."""
    stream: TextStream
    index: int
    """Of the step that is growing."""
    context: int
    """Tokens before it."""
    is_first: bool = True
    """Whether no step of this call is complete."""
    token_ids: tuple[int, ...] = ()
    """Of the step that is growing."""
    logprobs: tuple[float, ...] = ()
    cached_tokens: int = 0
    kv_byte_seconds: float = 0.0
    discarded_tokens: int = 0
    discarded_flops: float = 0.0

    def take(self, piece: Piece) -> None:
        """Add a piece to the step."""
        self.token_ids += piece.token_ids
        self.logprobs += piece.logprobs
        self.cached_tokens += piece.cached_tokens
        self.kv_byte_seconds += piece.kv_byte_seconds
        self.discarded_tokens += piece.discarded_tokens
        self.discarded_flops += piece.discarded_flops

    def next_step(self) -> None:
        """Begin another."""
        self.index += 1
        self.context += len(self.token_ids)
        self.is_first = False
        self.token_ids, self.logprobs = (), ()
        self.kv_byte_seconds = self.discarded_flops = 0.0
        self.discarded_tokens = 0


class Draft(NamedTuple):
    """A model that guesses ahead for another."""

    config: ModelConfig
    width: int
    """Tokens that it guesses in one turn."""


@dataclass(frozen=True, slots=True)
class LocalPolicy:
    """Grows branches with a local model. Made by `open_local_policy`."""

    engine: Engine
    config: ModelConfig
    format: ChatFormat
    model: str
    """Name, digest of the checkpoint's content, numerical format."""
    streams: bool = False
    """Whether text comes token by token (`Delta`), or only by whole steps."""
    draft: Draft | None = None
    """What guesses ahead; both models are charged."""

    @property
    def capabilities(self) -> Capabilities:
        """Steps, token counts and whole turns; a quote is a promise."""
        return Capabilities(self.model, KINDS)

    def quote(self, call: Call) -> Usage:
        """The worst case: the prompt read afresh, and every token the call may draw.

        With a draft, that every guess is refused, so that each token takes a turn of its own.
        """
        length = len(self._prompt(call))
        drawn = min(call.max_tokens, max(0, self.config.max_positions - length))
        width = self.draft.width if self.draft else 0
        in_vain = self._flops(length, length + drawn + width - 1) * max(0, width - 1)
        return Usage(
            prompt_tokens=length,
            visible_tokens=drawn,
            discarded_tokens=drawn * width,
            calls=1,
            flops=self._flops(0, length) + self._flops(length, length + drawn - 1) + in_vain,
        )

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow the calls; see `Policy.expand`."""
        growing = list[Growing]()
        for call in calls:
            begun = self._begin(call)
            if isinstance(begun, Growing):
                growing.append(begun)
            else:
                yield begun
        requests = [self._request(each) for each in growing]
        try:
            async with aclosing(self.engine.generate(requests)) as pieces:
                async for piece in pieces:
                    for outcome in self._outcomes(growing[piece.request], piece):
                        yield outcome
        except EngineError as error:
            raise PolicyError(
                f"model `{self.model}` stopped: {error}", retryable=False, hint=error.hint
            ) from error

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """The engine drops what it needs room for, the oldest first; nothing has to be freed."""

    async def logprobs(self, trajectories: Sequence[Trajectory]) -> list[tuple[float, ...]]:
        """How probable the model finds the tokens of each trajectory, whoever wrote them.

        Natural logarithms under the untempered model, a token each, as `Step.logprobs` of what it
        drew itself. `BadInputError` for a trajectory without tokens, or beyond the window.
        """
        prompts = [self.format.prompt(each.problem, Thinking.AUTO) for each in trajectories]
        texts = [
            prompt + each.token_ids for prompt, each in zip(prompts, trajectories, strict=True)
        ]
        told = await self.engine.likelihoods(texts, [*map(len, prompts)])
        return [each.logprobs for each in told]

    async def stats(self) -> EngineStats:
        """What its engine holds now and what it has done; EngineError if that has died."""
        return await self.engine.stats()

    async def forget(self) -> None:
        """Let what is asked next cost what it costs alone."""
        self.engine.forget()

    def _prompt(self, call: Call) -> tuple[int, ...]:
        """Everything before the next token. Calls from one place share one tuple."""
        start = self.format.prompt(call.trajectory.problem, call.branch.expansion.thinking)
        so_far = call.trajectory.token_ids
        return start + so_far if so_far else start

    def _begin(self, call: Call) -> Growing | Outcome:
        """The call ready to grow, or its end where nothing can grow."""
        kind, trajectory = call.branch.expansion.kind, call.trajectory
        if kind not in KINDS:
            return Failed(call.branch.id, f"model `{self.model}` cannot grow by `{kind}`")
        if trajectory.is_finished:
            return Failed(call.branch.id, "the turn has ended; nothing can follow it")
        if call.max_tokens < 1:
            empty = Step(
                "", kind=trajectory.steps[-1].kind if trajectory.steps else StepKind.ANSWER
            )
            return Grown(call.branch.id, len(call.grown), empty, Usage(), Finish.LENGTH)
        prompt, window = self._prompt(call), self.config.max_positions
        if len(prompt) >= window:
            text = f"{len(prompt)} tokens leave no room in the model's window of {window}"
            return Failed(call.branch.id, text)
        return Growing(
            call,
            prompt,
            thinks=self.format.thinks_after(prompt),
            stream=TextStream(self.format),
            index=len(call.grown),
            context=len(prompt),
        )

    def _request(self, growing: Growing) -> Request:
        call = growing.call
        return Request(
            growing.prompt,
            call.branch.seed,
            call.max_tokens,
            call.drawn,
            call.branch.expansion.sampling,
            one_step=call.branch.expansion.kind is ExpansionKind.STEP,
            streams=self.streams,
        )

    def _outcomes(self, growing: Growing, piece: Piece) -> Sequence[Outcome]:
        """What a piece comes to: its text where it streams, and a step where one is complete."""
        growing.take(piece)
        outcomes = list[Outcome]()
        branch_id, is_complete = growing.call.branch.id, piece.boundary is not Boundary.INSIDE
        if self.streams:
            text = growing.stream.take(piece.token_ids, flush=is_complete)
            kind = self.format.kind(growing.token_ids, thinks=growing.thinks)
            outcomes.append(Delta(branch_id, text, len(piece.token_ids), kind))
        if is_complete:
            step = self.format.step(growing.token_ids, growing.logprobs, thinks=growing.thinks)
            usage = self._usage(growing, step)
            finish = FINISHES[piece.boundary]
            outcomes.append(Grown(branch_id, growing.index, step, usage, finish))
            growing.thinks = self.format.thinks_after(step.token_ids, before=growing.thinks)
            growing.next_step()
        return outcomes

    def _usage(self, growing: Growing, step: Step) -> Usage:
        """What a step added; the first one of a call pays for the prompt."""
        num_tokens, end = len(step.token_ids), growing.context + len(step.token_ids)
        prompt = len(growing.prompt) if growing.is_first else 0
        cached = growing.cached_tokens if growing.is_first else 0
        # A token is drawn from the pass over the one before it, so the last one costs no pass yet,
        # and the pass for the first of a call is the prompt's.
        passed = max(growing.context - 1, len(growing.prompt))
        is_hidden = step.kind is StepKind.THOUGHT
        return Usage(
            prompt_tokens=prompt,
            cached_tokens=cached,
            visible_tokens=0 if is_hidden else num_tokens,
            hidden_tokens=num_tokens if is_hidden else 0,
            discarded_tokens=growing.discarded_tokens,
            flops=self._flops(cached, prompt)
            + self._flops(passed, end - 1)
            + growing.discarded_flops,
            kv_byte_seconds=growing.kv_byte_seconds,
        )

    def _flops(self, start: int, end: int) -> float:
        """FLOPs of passes over positions `start` to `end`: whole numbers, so sums are exact."""
        num_tokens = max(0, end - start)
        contexts = (start + 1 + end) * num_tokens / 2
        flops = 0.0
        for config in (self.config, self.draft.config) if self.draft else (self.config,):
            per_context = config.flops_per_token(1) - config.flops_per_token(0)
            flops += num_tokens * config.flops_per_token(0) + contexts * per_context
        return flops


@asynccontextmanager
async def open_local_policy(
    folder: Path,
    *,
    name: str | None = None,
    dtype: Dtype = Dtype.FLOAT32,
    device: str = "cpu",
    streams: bool = False,
    max_rows: int = 512,
    max_kv_bytes: int = 2 << 30,
    judge: Path | None = None,
    draft: Path | None = None,
    draft_tokens: int = 4,
) -> AsyncGenerator[LocalPolicy, None]:
    """Run the checkpoint in this folder for as long as the block lasts.

    One policy serves any number of solves and batches them together. `name` is what the model is
    called, the folder's name by default; `streams` asks for text token by token. `float32` is best
    for a few branches at a time, `bfloat16` for hundreds. `judge` is the folder of a reward model
    that shares the engine's process and its `max_kv_bytes`: `policy.engine.score` asks it. `draft`
    is the folder of a smaller model of the same tokenizer, which guesses `draft_tokens` ahead a
    turn: samples of a seed are others, their distribution is the same. Raises `CheckpointError` for
    a folder that holds no usable Llama checkpoint or no draft for the other, and `EngineError` if
    the engine cannot start.
    """
    config, tokenizer = ModelConfig.load(folder), TextTokenizer.load(folder)
    format_ = ChatFormat.load(folder, tokenizer)
    digest = content_digest(folder)
    settings = EngineSettings(
        folder,
        format_.punctuation,
        dtype,
        device,
        max_rows=max_rows,
        max_kv_bytes=max_kv_bytes,
        judge=judge,
        draft=draft,
        draft_tokens=draft_tokens,
    )
    drafted = draft and Draft(_draft_config(draft, folder), draft_tokens)
    engine = await Engine.start(settings)
    try:
        model = f"{name or folder.resolve().name}@{digest}:{dtype}"
        if draft is not None:
            model += f"+{draft.resolve().name}@{content_digest(draft)}"
        yield LocalPolicy(engine, config, format_, model, streams, drafted)
    finally:
        await engine.close()


def _draft_config(draft: Path, folder: Path) -> ModelConfig:
    """The draft's shape; `CheckpointError` if its tokens mean something else."""
    config = ModelConfig.load(draft)
    if TextTokenizer.load(draft).vocabulary != TextTokenizer.load(folder).vocabulary:
        raise CheckpointError(
            f"`{draft.name}` cannot draft for `{folder.name}`: its tokenizer is another",
            hint="a draft has its target's tokenizer",
        )
    return config
