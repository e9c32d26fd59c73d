"""The gateway before a real llama.cpp server that runs a shipped model."""

from pathlib import Path
from typing import Any

import openai
import pytest
from servers.llama import llama_server

from mull.build import find_checkpoint, open_model
from mull.core.journal import MemoryJournal
from mull.models.gguf import export_gguf
from mull.server import CallQueue, Gateway, Place, Scheduler, Solves, app_of, listening

GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."


@pytest.mark.slow
async def test_a_search_over_llama_cpp_is_checked_streamed_and_cancelled(tmp_path: Path) -> None:
    export_gguf(find_checkpoint("mull-mini").folder, tmp_path / "mini.gguf")
    with llama_server(tmp_path / "mini.gguf") as root:
        async with open_model(f"openai:{root}/v1#tiny") as model:
            models, queue = {"far": model}, {"far": Scheduler(CallQueue(8))}
            gateway = Gateway(models, Solves(models, MemoryJournal(), schedulers=queue))
            async with (
                listening(app_of(gateway), Place(port=0)) as url,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
            ):
                await check(client, gateway)


async def check(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    create: Any = client.chat.completions.create
    game = [{"role": "user", "content": GAME}]
    searched = await create(model="es-64-far", messages=game, seed=0)
    assert searched.choices[0].message.content.endswith("= 24")
    assert searched.mull["stop"] == "accepted"
    assert searched.usage.prompt_tokens > 0
    assert 0 < searched.usage.mull["calls"] <= 64
    # Straight through: the server behind does what no search here could.
    plain = await create(model="far", messages=game, max_tokens=20, logprobs=True, stop=["="])
    assert plain.usage.completion_tokens > 0
    assert plain.choices[0].logprobs is not None
    chunks = [each async for each in await create(model="far", messages=game, stream=True)]
    assert chunks[-1].choices[0].finish_reason in {"stop", "length"}
    budget = {"mull": {"budget": {"tokens": 40}}}
    short = await create(model="bon-64-far", messages=game, extra_body=budget)
    assert short.usage.completion_tokens <= 40
    queue = gateway.solves.schedulers["far"].queue
    assert (queue.num_running, queue.num_waiting) == (0, 0)
    queue.check()
