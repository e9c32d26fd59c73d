"""`mull doctor`: what is configured is tried, and what does not work is named."""

import json
from pathlib import Path

from typer.testing import CliRunner

from mull.cli import app_for

WIDE = {"COLUMNS": "300"}


def test_what_works_and_what_does_not_is_said_of_each(tmp_path: Path) -> None:
    script = tmp_path / "toy.json"
    script.write_text(json.dumps({"replies": {"Say yes.": ["yes"]}}))
    mute = tmp_path / "mute.json"
    mute.write_text(json.dumps({"replies": {"other": ["yes"]}}))
    tenants = tmp_path / "tenants.toml"
    tenants.write_text("[tenants.red]\nkeys = ['secret']\n")
    arguments = ["doctor", "--journal", str(tmp_path / "served.db"), "--tenants", str(tenants)]
    for model in (f"scripted:{script}", f"scripted:{mute}", "far=openai:http://127.0.0.1:9/v1#x"):
        arguments += ["--model", model]
    shown = CliRunner().invoke(app_for(arguments), arguments, env=WIDE)
    assert shown.exit_code == 2
    lines = [line for line in shown.stdout.splitlines() if line[:1] in "✓✗"]
    assert [line[0] for line in lines] == ["✓", "✗", "✗", "✓", "✗"]
    assert "nobody can be talked to" in lines[2]
    assert "0 solves" in lines[3]
    assert "by its hash" in lines[4]


def test_a_sound_configuration_is_a_success(tmp_path: Path) -> None:
    script = tmp_path / "toy.json"
    script.write_text(json.dumps({"replies": {"Say yes.": ["yes"]}}))
    arguments = ["doctor", "--journal", str(tmp_path / "s.db"), "--model", f"scripted:{script}"]
    shown = CliRunner().invoke(app_for(arguments), arguments, env=WIDE)
    assert shown.exit_code == 0, shown.output
    assert "it can" in shown.stdout


def test_the_costs_of_every_served_model_are_said(tmp_path: Path) -> None:
    (tmp_path / "mull.toml").write_text(
        '[models.typed]\nmodel = "openai:http://127.0.0.1:9/v1#x"\n'
        "prices = { input = 2, output = 4, cached = 1, "
        "tiers = [{ above = 1000, input = 4, output = 8 }] }\n"
        '[models.unknown]\nmodel = "openai:http://127.0.0.1:9/v1#y"\n'
    )
    arguments = ["--config", str(tmp_path / "mull.toml")]
    arguments += ["doctor", "--journal", str(tmp_path / "s.db")]
    shown = CliRunner().invoke(app_for(arguments), arguments, env=WIDE)
    typed, unknown = (line for line in shown.stdout.splitlines() if "price" in line)
    assert "$2 read, $4 generated, $1 cached, other prices above 1,000 tokens (as typed)" in typed
    assert "no prices, for a budget in money: type its `prices` in `mull.toml`" in unknown


def test_money_of_tenants_is_no_limit_for_a_model_without_prices(tmp_path: Path) -> None:
    tenants = tmp_path / "tenants.toml"
    tenants.write_text(f'[tenants.red]\nkeys = ["sha256:{"0" * 64}"]\nmoney = 5.0\n')
    arguments = ["serve", "--port", "0", "--journal", str(tmp_path / "s.db")]
    arguments += ["--tenants", str(tenants), "--model", "far=openai:http://127.0.0.1:9/v1#x"]
    refused = CliRunner().invoke(app_for(arguments), arguments).exception
    assert "`money` limits nothing: model `far` has no prices" in str(refused)


def test_a_key_and_its_hash_belong_together() -> None:
    from mull.server.accounts import hash_of  # noqa: PLC0415  (needs the extra)

    shown = CliRunner().invoke(app_for(["key"]), ["key"], env=WIDE)
    key, hashed = (line.split()[1] for line in shown.stdout.splitlines())
    assert hash_of(key) == hashed
    assert CliRunner().invoke(app_for(["key"]), ["key"], env=WIDE).stdout != shown.stdout


def test_a_server_open_to_others_asks_for_keys(tmp_path: Path) -> None:
    arguments = ["serve", "--host", "0.0.0.0", "--journal", str(tmp_path / "s.db")]  # noqa: S104
    shown = CliRunner().invoke(app_for(arguments), arguments)
    assert shown.exit_code != 0
    assert "--tenants" in str(shown.exception.hint if shown.exception else "")  # type: ignore[union-attr]
