"""The engines that `mull bench engine` compares: ours, and those of others where installed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import torch

from mull.core.errors import EngineError
from mull.core.expansion import Sampling
from mull.engine import Dtype, Engine, EngineSettings, EngineStats, Punctuation, Request
from mull.evaluation.speed import SHAPE, Branching, Drawn, Ids, Runner, listed
from mull.models.checkpoint import save_checkpoint
from mull.models.tokenizer import TextTokenizer
from mull.models.transformer import Decoder

GREEDY: Final = Sampling(temperature=0.0)


def write_model(folder: Path) -> Path:
    """A checkpoint of random weights in this folder, the same every time."""
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    save_checkpoint(folder, Decoder(SHAPE), TextTokenizer.built(), dtype=torch.float32)
    return folder


class Ours:
    """Our engine in its own process; its owner's work is charged too."""

    def __init__(self, folder: Path, dtype: Dtype) -> None:
        self.name = f"mull {dtype}"
        self._loop = asyncio.new_event_loop()
        silent = Punctuation(frozenset(), frozenset())
        settings = EngineSettings(folder, silent, dtype)
        self._engine = self._loop.run_until_complete(Engine.start(settings))
        self._seed = 0

    def draw(self, work: Branching) -> Drawn:
        """See `Runner`. Every prompt is a call of its own, as of solves that know nothing."""
        return self._loop.run_until_complete(self._all(work))

    def cpu_seconds(self) -> float:
        """See `Runner`."""
        return time.process_time() + process_seconds(self._engine.worker_id)

    def stats(self) -> EngineStats:
        """What its engine has done in all workloads."""
        return self._loop.run_until_complete(self._engine.stats())

    def close(self) -> None:
        """See `Runner`."""
        self._loop.run_until_complete(self._engine.close())
        self._loop.close()

    async def _all(self, work: Branching) -> Drawn:
        return await asyncio.gather(*(self._samples(prompt, work) for prompt in work.prompts))

    async def _samples(self, prompt: Ids, work: Branching) -> list[Ids]:
        sampling = GREEDY if work.is_greedy else Sampling()
        self._seed += work.samples
        seeds = range(self._seed, self._seed + work.samples)
        requests = [Request(prompt, seed, work.max_tokens, sampling=sampling) for seed in seeds]
        samples: list[Ids] = [()] * work.samples
        async for piece in self._engine.generate(requests):
            samples[piece.request] += piece.token_ids
        return samples


class Transformers:
    """Hugging Face `generate`: all prompts in one padded batch, each step from the beginning."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.name = f"transformers {str(dtype).removeprefix('torch.')}"
        kind: Any = import_module("transformers").LlamaForCausalLM
        self._model = kind.from_pretrained(folder, dtype=dtype).eval()
        self._model.generation_config.eos_token_id = None

    def draw(self, work: Branching) -> Drawn:
        """See `Runner`."""
        longest = max(map(len, work.prompts))
        tokens = torch.zeros((len(work.prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(work.prompts):
            tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        result = self._generate(tokens, work, attention_mask=mask)
        return _grouped(result[:, longest:], work)

    def cpu_seconds(self) -> float:
        """See `Runner`."""
        return time.process_time()

    def close(self) -> None:
        """See `Runner`."""

    @torch.inference_mode()
    def _generate(self, tokens: torch.Tensor, work: Branching, **options: Any) -> torch.Tensor:
        sampled = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
        return self._model.generate(
            tokens,
            max_new_tokens=work.max_tokens,
            min_new_tokens=work.max_tokens,
            do_sample=not work.is_greedy,
            num_return_sequences=work.samples,
            pad_token_id=0,
            **({} if work.is_greedy else sampled),
            **options,
        )


class TransformersReuse(Transformers):
    """The same, with the keys and values of a prompt kept for its samples, and for what follows.

    A prompt is read once and its cache repeated; where a prompt goes on from a sample of the round
    before, that sample's row of the cache is taken over.
    """

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        super().__init__(folder, dtype)
        self.name += ", cache reused"
        self._cache: Any = None
        self._rows = dict[Ids, int]()

    @torch.inference_mode()
    def draw(self, work: Branching) -> Drawn:
        """See `Runner`. Prompts of several lengths are read anew, padded."""
        if len(set(map(len, work.prompts))) > 1:
            return super().draw(work)
        rows = [self._rows.get(prompt[:-1]) for prompt in work.prompts]
        known = [row for row in rows if row is not None]
        if len(known) == len(rows):
            self._cache.batch_select_indices(torch.tensor(known))
        else:
            self._cache = import_module("transformers").DynamicCache(config=self._model.config)
            beginnings = torch.tensor([prompt[:-1] for prompt in work.prompts[:1]])
            self._model(beginnings, past_key_values=self._cache, logits_to_keep=1)
            self._cache.batch_repeat_interleave(len(work.prompts))
        self._cache.batch_repeat_interleave(work.samples)
        tokens = torch.tensor(work.prompts).repeat_interleave(work.samples, 0)
        each = work._replace(samples=1)
        result = self._generate(tokens, each, past_key_values=self._cache)
        self._rows = {ids[:-1]: row for row, ids in enumerate(listed(result))}
        return _grouped(result[:, tokens.shape[1] :], work)


class LlamaCpp:
    """llama.cpp's server in this process, through its own API; samples share their prompt."""

    name = "llama.cpp f32"

    def __init__(self, folder: Path) -> None:
        gguf, xllamacpp = import_module("mull.models.gguf"), import_module("xllamacpp")
        gguf.export_gguf(folder, folder / "model.gguf")
        params: Any = xllamacpp.CommonParams()
        params.model.path = str(folder / "model.gguf")
        params.port = 0
        params.n_parallel, params.n_ctx, params.kv_unified = 64, 32_768, True
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_ram_mib = 64
        params.verbosity = -1
        self._server: Any = xllamacpp.Server(params)

    def draw(self, work: Branching) -> Drawn:
        """See `Runner`."""
        with ThreadPoolExecutor(len(work.prompts)) as pool:
            asked = [pool.submit(self._samples, prompt, work) for prompt in work.prompts]
            return [each.result() for each in asked]

    def cpu_seconds(self) -> float:
        """See `Runner`."""
        return time.process_time()

    def close(self) -> None:
        """See `Runner`."""
        del self._server

    def _samples(self, prompt: Ids, work: Branching) -> list[Ids]:
        asked = {
            "prompt": list(prompt),
            "n_predict": work.max_tokens,
            "n_cmpl": work.samples,
            "return_tokens": True,
            "ignore_eos": True,
            "temperature": 0.0 if work.is_greedy else 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "cache_prompt": True,
        }
        address = urlsplit(str(self._server.listening_address))
        with closing(HTTPConnection(str(address.hostname), address.port)) as line:
            line.request(
                "POST", "/completion", json.dumps(asked), {"Content-Type": "application/json"}
            )
            answer: Any = json.loads(line.getresponse().read())
        answers = cast("list[Any]", answer if isinstance(answer, list) else [answer])
        return [tuple(each["tokens"]) for each in answers]


def _grouped(tokens: torch.Tensor, work: Branching) -> Drawn:
    rows = listed(tokens)
    return [rows[start : start + work.samples] for start in range(0, len(rows), work.samples)]


def process_seconds(process_id: int) -> float:
    """User and system time of a process, all its threads together, by its scheduler's count."""
    stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    user, system = stat.rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def openers(folder: Path) -> Mapping[str, Callable[[], Runner]]:
    """Every engine by the module it needs."""
    return {
        "mull.engine, fp32": lambda: Ours(folder, Dtype.FLOAT32),
        "mull.engine, bf16": lambda: Ours(folder, Dtype.BFLOAT16),
        "transformers, fp32": lambda: Transformers(folder, torch.float32),
        "transformers, bf16": lambda: Transformers(folder, torch.bfloat16),
        "transformers, cache reused": lambda: TransformersReuse(folder, torch.float32),
        "xllamacpp": lambda: LlamaCpp(folder),
    }


@contextmanager
def opened(folder: Path, say: Callable[[str], None]) -> Generator[list[Runner], None, None]:
    """All engines that are installed; the others are named to `say`."""
    runners = list[Runner]()
    try:
        for name, opener in openers(folder).items():
            try:
                runners.append(opener())
            except (ModuleNotFoundError, EngineError) as error:
                say(f"{name} is left out: {error}")
        yield runners
    finally:
        for runner in runners:
            runner.close()
