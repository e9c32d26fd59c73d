"""`mull serve` before other people's models needs no weights, and none of what runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from openai import OpenAI

HEAVY = ("numpy", "torch", "tokenizers", "safetensors", "jinja2", "mull.evaluation", "mull.tasks")
SCRIPT = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY}))  # importing one of them fails
from mull.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_gateway_imports_nothing_of_what_runs_or_measures_models(tmp_path: Path) -> None:
    toy = tmp_path / "toy.json"
    toy.write_text(json.dumps({"replies": {"Say yes.": ["yes"]}}))
    arguments = ["serve", "--port", "0", "--model", f"scripted:{toy}"]
    process = subprocess.Popen(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", SCRIPT, *arguments, "--journal", str(tmp_path / "served.db")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    with process:
        assert process.stderr is not None
        said = process.stderr.readline()
        try:
            url = said.partition(" at ")[2].strip()
            assert url, said
            with OpenAI(base_url=url, api_key="any", max_retries=0, timeout=20) as client:
                answer = client.chat.completions.create(
                    model="bon-2-toy", messages=[{"role": "user", "content": "Say yes."}]
                )
            assert answer.choices[0].message.content == "yes"
        finally:
            process.kill()
