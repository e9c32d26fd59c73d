"""`mull serve` as its users run it: a process, the shipped model, OpenAI's client."""

import re
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import openai
import pytest
from servers.mull import mull_server

GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."


@pytest.mark.slow
def test_the_shipped_model_answers_openais_client_and_ends_when_told(tmp_path: Path) -> None:
    with mull_server(tmp_path / "served.db", "--model", "mull-mini") as (address, process):
        client = openai.OpenAI(base_url=address, api_key="any", max_retries=0)
        game: Any = [{"role": "user", "content": GAME}]
        checked: Any = client.chat.completions.create(
            model="mull/auto", messages=game, seed=0, extra_body={"mull": {"n": 64}}
        )
        assert checked.choices[0].message.content.endswith("= 24")
        assert checked.mull["stop"] == "accepted"
        details = checked.usage.completion_tokens_details
        assert 0 <= details.reasoning_tokens <= checked.usage.completion_tokens
        plain = client.chat.completions.create(model="mull-mini", messages=game, seed=5)
        chunks = client.chat.completions.create(
            model="mull-mini", messages=game, seed=5, stream=True
        )
        said = [c.choices[0].delta.content for c in chunks if c.choices]
        assert "".join(each or "" for each in said) == plain.choices[0].message.content
        with pytest.raises(openai.BadRequestError, match="none of the problems"):
            client.chat.completions.create(
                model="mull-mini", messages=[{"role": "user", "content": "Who are you?"}]
            )
        root = address.removesuffix("/v1")
        with urlopen(f"{root}/metrics", timeout=10) as response:  # noqa: S310  (loopback)
            told = response.read().decode()
        assert 'mull_engine{model="mull-mini",what="num_rows"} 0.0' in told
        assert re.search(r'mull_engine{model="mull-mini",what="drawn_tokens"} [1-9]', told)
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
