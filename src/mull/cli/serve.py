"""`mull serve`: the gateway."""

import asyncio
import gc
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import (
    DEFAULT_MODEL,
    Config,
    ModelChoice,
    check_priced,
    open_journal,
    open_model,
)
from mull.build.extras import needs_extra
from mull.build.telemetry import Telemetry
from mull.cli.configuration import config_of
from mull.cli.output import say, show
from mull.cli.places import default_served_journal
from mull.core.errors import BadInputError

KEY_EXAMPLES: Final = """\
Examples:

mull key

mull serve --host 0.0.0.0 --tenants tenants.toml

The hash goes into the file of tenants, the key to the client."""

EXAMPLES: Final = """\
Examples:

mull serve

mull serve --model mull-mini --port 9000

curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \
-d '{"model": "mull/auto", "messages": [{"role": "user", "content": "Make 24 from 4 4 10 10"}]}'"""

ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A model to serve, as `mull solve` names it, or NAME=MODEL to call it NAME. "
        "May be repeated; the first is the default.",
        show_default=f"those of mull.toml, or {DEFAULT_MODEL}",
    ),
]
HostOption = Annotated[
    str, typer.Option("--host", help="Where to listen. Others than this machine need to be named.")
]
PortOption = Annotated[int, typer.Option("--port", help="0: any that is free.", min=0, max=65535)]
JournalOption = Annotated[
    Path,
    typer.Option(
        "--journal",
        help="The file that keeps solves; what an earlier server left open there is resumed.",
        default_factory=default_served_journal,
        show_default="in the user's state folder",
    ),
]
DrainOption = Annotated[
    float,
    typer.Option("--drain-seconds", help="Given to running solves when the server ends.", min=0),
]


LOCAL_SLOTS: Final = 16
"""More rows of a batch make every row slower, on a processor."""
SERVED_SLOTS: Final = 64
SlotsOption = Annotated[
    int | None,
    typer.Option(
        "--slots",
        help="Calls that a model works on at once; more wait their turn.",
        min=1,
        show_default=f"{LOCAL_SLOTS} for a checkpoint, {SERVED_SLOTS} for a model behind a server",
    ),
]
TenantsOption = Annotated[
    Path | None,
    typer.Option("--tenants", help="A TOML file of tenants, their keys' hashes and limits."),
]
OpenOption = Annotated[
    bool, typer.Option("--open", help="Listen beyond this machine without asking for keys.")
]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say."""

    models: Mapping[str, ModelChoice]
    host: str
    port: int
    journal: Path
    tenants: Path | None
    slots: int | None
    drain_seconds: float
    telemetry: Telemetry | None
    """None: no spans are sent."""


def serve(
    context: typer.Context,
    *,
    model: ModelsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    journal: JournalOption,
    tenants: TenantsOption = None,
    slots: SlotsOption = None,
    drain_seconds: DrainOption = 30.0,
    is_open: OpenOption = False,
) -> None:
    """Serve models and searches behind OpenAI's API, on this machine unless told otherwise."""
    with needs_extra("serve", "`mull serve`"):
        import uvloop

        import mull.server as _
    if tenants is None and not is_open and not _is_loopback(host):
        raise BadInputError(
            f"`{host}` is open to other machines, and anybody there could use these models",
            hint="name who may with --tenants FILE, or say --open",
        )
    config = config_of(context)
    telemetry = config.telemetry.asked_for(os.environ)
    if telemetry is not None:
        with needs_extra("otel", f"sending spans to `{telemetry.endpoint}`"):
            import mull.server.tracing as _  # noqa: F401
    models = named_models(model, config)
    settings = Settings(models, host, port, journal, tenants, slots, drain_seconds, telemetry)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


def key() -> None:
    """Make a key for a client of `mull serve`, and its hash for the file of tenants."""
    with needs_extra("serve", "`mull key`"):
        from mull.server import new_key
    secret, hashed = new_key()
    show(f"key   {secret}")
    show(f"hash  {hashed}")
    say("the key is shown once; the file of tenants holds the hash", style="dim")


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def named_models(given: list[str] | None, config: Config) -> dict[str, ModelChoice]:
    """The models to open by the names they are served under.

    Without any: those of the configuration file, or the one that ships.
    """
    named = dict[str, ModelChoice]()
    for each in given or [*config.models] or [DEFAULT_MODEL]:
        alias, _, model = each.rpartition("=")
        name = alias or _short(model)
        if name in named:
            raise BadInputError(
                f"two models would be called `{name}`", hint=f"name one: --model OTHER={model}"
            )
        named[name] = config.model(model)
    return named


def _short(model: str) -> str:
    """`gpt` of `openai:http://HOST/v1#gpt`, `toy` of `scripted:DIR/toy.json`."""
    place = model.rpartition("#")[2]
    return Path(place).stem if place == model and "/" in place else place.rpartition(":")[2]


async def _serve(settings: Settings) -> None:
    from mull.server import (
        Accounts,
        CallQueue,
        Gateway,
        Place,
        Scheduler,
        Solves,
        app_of,
        listening,
        until_told_to_end,
    )

    accounts = Accounts.open_to_all()
    if settings.tenants is not None:
        accounts = Accounts.read(settings.tenants, settings.journal.with_suffix(".spent"))
    if accounts.limits_money:
        for name, choice in settings.models.items():
            if choice.checkpoint is None:  # what runs here costs its owner no money
                check_priced(choice.spec, "money", name)
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_journal(settings.journal))
        opened = {
            name: await stack.enter_async_context(open_model(choice, streams=True))
            for name, choice in settings.models.items()
        }
        queues = dict[str, Scheduler]()
        for name, choice in settings.models.items():
            slots = settings.slots or (SERVED_SLOTS if choice.checkpoint is None else LOCAL_SLOTS)
            queues[name] = Scheduler(CallQueue(slots, num_reserved=slots // 10))
        solves = Solves(opened, kept, accounts, queues)
        if settings.telemetry is not None:
            from mull.server.tracing import Tracing

            solves.tracing = Tracing.to(settings.telemetry)
            stack.push_async_callback(solves.tracing.close)
        place = Place(settings.host, settings.port)
        async with listening(app_of(Gateway(opened, solves)), place) as address, solves.storing():
            resumed = await solves.resume_open()
            say(f"{', '.join(opened)} at {address}/v1")
            if resumed:
                goes = "1 solve goes" if resumed == 1 else f"{resumed} solves go"
                say(f"{goes} on from an earlier server")
            gc.freeze()  # what is there by now stays: no collection need look at it again
            await until_told_to_end()
            say("ending: no new requests are taken")
            await solves.drain(settings.drain_seconds)
