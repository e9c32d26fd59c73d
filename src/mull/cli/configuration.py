"""The configuration file behind the flags: what no flag says, it says."""

from collections.abc import Mapping
from dataclasses import asdict

import typer

from mull.build import Config, Defaults


def config_of(context: typer.Context) -> Config:
    """What the options before the command have read."""
    found: object = context.find_root().obj
    return found if isinstance(found, Config) else Config()


def flags_of(defaults: Defaults) -> dict[str, Mapping[str, object]]:
    """The defaults as values of each command's own flags."""
    given = {name: value for name, value in asdict(defaults).items() if value is not None}
    measured: dict[str, object] = {"verifier": defaults.verifier, "strategies": defaults.strategy}
    if defaults.model is not None:
        measured["model"] = [defaults.model]
    return {"solve": given, "eval": {name: each for name, each in measured.items() if each}}
