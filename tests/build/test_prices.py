"""What a model costs where nobody types it: the real table, and what holds without it."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from servers.fake import MODEL, fake_server, says, usage

from mull.build import (
    choose_model,
    price_version,
    prices_in,
    read_config,
    same_model,
    solve_async,
)
from mull.build.models import check_priced
from mull.build.prices import has_table, price_options
from mull.core.errors import BadInputError, BudgetError
from mull.core.events import SolveStarted
from mull.core.journal import MemoryJournal
from mull.core.usage import Usage
from mull.policies.priced import Prices, Tier

needs_table = pytest.mark.skipif(not has_table(), reason="needs the extra `prices`")
without_table = pytest.mark.skipif(has_table(), reason="genai-prices is installed")

TIERED = "openai:gpt-5.4"


def prices_of(model: str) -> Prices:
    found = prices_in(choose_model(model).spec.options)
    assert found is not None
    return found


def table_says(usage: Usage, provider: str, model: str) -> float:
    """What the package itself makes of a usage."""
    from genai_prices import Usage as Theirs  # noqa: PLC0415  (needs the extra)
    from genai_prices import calc_price  # noqa: PLC0415

    theirs = Theirs(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.written_tokens,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.hidden_tokens,
    )
    return float(calc_price(theirs, model, provider_id=provider).total_price)


USAGES = [
    Usage(1_000, 0, 100),
    Usage(1_000, 900, 100, 300, written_tokens=50),
    Usage(199_999, 0, 10, 10),
    Usage(200_000, 5, 1, 7, written_tokens=6),
    Usage(200_001, 5, 1, 7, written_tokens=6),
    Usage(272_000, 0, 1_000, 1_000),
    Usage(272_001, 272_001, 1_000, 1_000),
]


@needs_table
@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai:gpt-5-mini", "openai"),
        (TIERED, "openai"),
        ("openai:gpt-5.6-luna", "openai"),
        ("openai:https://api.openai.com/v1#o3", "openai"),
        ("openai:https://api.mistral.ai/v1#mistral-large-latest", "mistral"),
        ("anthropic:claude-opus-4-8", "anthropic"),
        ("anthropic:claude-sonnet-4-5", "anthropic"),
        ("gemini:gemini-2.5-pro", "google"),
    ],
)
def test_a_model_of_a_provider_costs_what_the_table_says(
    model: str, provider: str, usage: Usage
) -> None:
    prices, name = prices_of(model), model.rpartition("#")[2].rpartition(":")[2]
    assert prices.of(usage) == pytest.approx(table_says(usage, provider, name), rel=1e-9)
    assert prices.of(usage) <= prices.worst_of(usage)
    assert (prices.version or "").startswith("genai-prices ")
    assert f", {provider}/" in (prices.version or "")


@needs_table
def test_reasoning_has_a_rate_of_its_own_where_the_table_has_one(tmp_path: Path) -> None:
    row = "openrouter/perplexity/sonar-deep-research"
    (tmp_path / "mull.toml").write_text(
        f'[models.it]\nmodel = "openai:http://127.0.0.1:9/v1#it"\nprices = "{row}"\n'
    )
    prices = prices_in(read_config(tmp_path / "mull.toml").model("it").spec.options)
    assert prices is not None
    assert prices.reasoning not in {None, prices.output}
    usage = Usage(1_000, 0, 100, 900)
    assert prices.of(usage) == pytest.approx(table_says(usage, *row.split("/", 1)))


@needs_table
def test_prices_that_change_by_the_hour_are_the_dearest() -> None:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (needs the extra)
    from genai_prices.types import ModelPrice  # noqa: PLC0415

    _, row = get_snapshot().find_provider_model("deepseek-chat", None, "deepseek", None)
    assert not isinstance(row.prices, ModelPrice)
    inputs = [each.prices.input_mtok for each in row.prices]
    dearest = max(each for each in inputs if isinstance(each, Decimal))
    assert min(each for each in inputs if isinstance(each, Decimal)) < dearest
    assert prices_of("openai:https://api.deepseek.com/v1#deepseek-chat").input == float(dearest)


@needs_table
@pytest.mark.parametrize(
    "model",
    [
        "openai:nobody-heard-of-it",
        "openai:http://127.0.0.1:8001/v1#gpt-5-mini",
        "openai:https://llm.example.com/v1#gpt-5-mini",
        "openai:https://api.openai.com/v1",
        "openai:text-embedding-3-small",  # generates nothing, and has no price for it
        "openai:https://api.perplexity.ai#sonar",  # charges for every request beside its tokens
    ],
)
def test_a_model_that_the_table_does_not_know_has_no_price_and_is_refused_by_name(
    model: str,
) -> None:
    spec = choose_model(model).spec
    assert prices_in(spec.options) is None
    with pytest.raises(BudgetError, match=f"model `{spec.options['place']}` has no") as refused:
        check_priced(spec, "budget_usd")
    assert "type its `prices`" in (refused.value.hint or "")
    assert "name a row" in (refused.value.hint or "")


@without_table
def test_without_the_table_a_budget_in_money_is_refused_with_what_to_install(
    tmp_path: Path,
) -> None:
    spec = choose_model(TIERED).spec
    with pytest.raises(BudgetError, match=r"`budget_usd` limits nothing: model `gpt-5\.4`") as no:
        check_priced(spec, "budget_usd")
    assert "pip install 'mull[prices]'" in (no.value.hint or "")
    (tmp_path / "mull.toml").write_text(
        f'[models.it]\nmodel = "{TIERED}"\nprices = "openai/gpt-5.4"\n'
    )
    with pytest.raises(BadInputError, match="genai_prices`, which is not installed") as no:
        read_config(tmp_path / "mull.toml")
    assert "pip install 'mull[prices]'" in (no.value.hint or "")


def test_what_is_typed_wins_over_the_table(tmp_path: Path) -> None:
    typed = "{ input = 1, output = 2, tiers = [{ above = 1000, input = 3.0, output = 4.0 }] }"
    (tmp_path / "mull.toml").write_text(
        f'[models.it]\nmodel = "openai:gpt-5.4"\nprices = {typed}\n'
    )
    spec = read_config(tmp_path / "mull.toml").model("it").spec
    assert prices_in(spec.options) == Prices(1.0, 2.0, tiers=(Tier(3.0, 4.0, above=1000),))
    assert price_version(spec) is None
    check_priced(spec, "budget_usd")


@needs_table
def test_a_row_can_be_named_and_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mull.toml"
    file.write_text('[models.it]\nmodel = "openai:https://h/v1#x"\nprices = "openai/gpt-5-mini"\n')
    spec = read_config(file).model("it").spec
    assert prices_in(spec.options) == prices_of("openai:gpt-5-mini")
    assert "openai/gpt-5-mini" in (price_version(spec) or "")
    file.write_text('[models.it]\nmodel = "openai:https://h/v1#x"\nprices = "openai/none"\n')
    with pytest.raises(BadInputError, match="has no `openai/none`"):
        read_config(file)


def test_prices_go_into_the_options_of_a_spec_and_out_again() -> None:
    prices = Prices(1.0, 2.0, 0.5, 1.25, 3.0, (Tier(2.0, 4.0, 1.0, above=9),), "a table, of a day")
    options = price_options(prices)
    assert json.loads(json.dumps(options)) == options
    assert prices_in({"place": "x", **options}) == prices
    assert prices_in({"place": "x"}) is None


@pytest.mark.parametrize("tiers", ["[{]", "[3]", '[{"above": 5}]', '[{"above": -5}]'])
def test_prices_of_a_journal_that_are_none_are_refused(tiers: str) -> None:
    with pytest.raises(BadInputError, match="the prices of a model"):
        prices_in({"price_input": 1.0, "price_output": 1.0, "price_tiers": tiers})


def test_a_model_is_the_same_whatever_it_costs() -> None:
    spec = choose_model("openai:http://127.0.0.1:9/v1#x").spec
    dearer = type(spec)(spec.name, {**spec.options, **price_options(Prices(1.0, 2.0))})
    assert same_model(spec, dearer)
    assert not same_model(spec, choose_model("openai:http://127.0.0.1:9/v1#y").spec)


@needs_table
def test_prices_are_found_without_any_connection() -> None:
    program = (
        "import sys; from mull.build import choose_model\n"
        "def refuse(event, _):\n"
        "    if event.startswith('socket.'): raise SystemExit(event)\n"
        "sys.addaudithook(refuse)\n"
        "assert 'price_version' in choose_model('openai:gpt-5-mini').spec.options\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603


@needs_table
async def test_a_solve_is_charged_by_the_table_and_its_journal_says_by_which(
    tmp_path: Path,
) -> None:
    file, journal = tmp_path / "mull.toml", MemoryJournal()
    async with fake_server(says("6", " *", " 7", " =", " 42", reported=usage(5, 90))) as server:
        file.write_text(
            f'[models.it]\nmodel = "openai:{server.url}#{MODEL}"\nprices = "openai/gpt-5-mini"\n'
        )
        solution = await solve_async(
            "What is six times seven?",
            model=read_config(file).model("it"),
            n=3,
            budget_usd=0.5,
            journal=journal,
        )
    paid = table_says(Usage(3 * 90, 0, 3 * 5), "openai", "gpt-5-mini")
    assert solution.usage.money_usd == pytest.approx(paid)
    started = (await journal.load(solution.solve_id))[0]
    assert isinstance(started, SolveStarted)
    assert "openai/gpt-5-mini" in (price_version(started.spec.policy) or "")
