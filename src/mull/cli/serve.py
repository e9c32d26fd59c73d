"""`mull serve`: the gateway."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mull.build import DEFAULT_MODEL, open_journal, open_model
from mull.build.extras import needs_extra
from mull.cli.output import say
from mull.cli.places import default_served_journal
from mull.core.errors import BadInputError

if TYPE_CHECKING:
    from mull.server import Place

EXAMPLES: Final = """\
Examples:

mull serve

mull serve --model mull-mini --port 9000

curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \
-d '{"model": "mull/auto", "messages": [{"role": "user", "content": "Make 24 from 4 4 10 10"}]}'"""

ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        help="A model to serve, as `mull solve` names it, or NAME=MODEL to call it NAME. "
        "May be repeated; the first is the default.",
        default_factory=lambda: [DEFAULT_MODEL],
        show_default=DEFAULT_MODEL,
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


def serve(
    *,
    model: ModelsOption,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    journal: JournalOption,
    drain_seconds: DrainOption = 30.0,
) -> None:
    """Serve models and searches behind OpenAI's API, on this machine unless told otherwise."""
    with needs_extra("serve", "`mull serve`"):
        import uvloop

        from mull.server import Place
    serving = _serve(named_models(model), Place(host, port), journal, drain_seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


def named_models(given: list[str]) -> dict[str, str]:
    """The models to open by the names they are served under."""
    named = dict[str, str]()
    for each in given:
        alias, _, model = each.rpartition("=")
        name = alias or model.rpartition("#")[2].rpartition(":")[2]
        if name in named:
            raise BadInputError(
                f"two models would be called `{name}`", hint=f"name one: --model OTHER={model}"
            )
        named[name] = model
    return named


async def _serve(
    models: dict[str, str], place: "Place", journal: Path, drain_seconds: float
) -> None:
    from mull.server import Gateway, Solves, app_of, listening, until_told_to_end

    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_journal(journal))
        opened = {
            name: await stack.enter_async_context(open_model(model, streams=True))
            for name, model in models.items()
        }
        solves = Solves(opened, kept)
        async with listening(app_of(Gateway(opened, solves)), place) as address:
            resumed = await solves.resume_open()
            say(f"{', '.join(opened)} at {address}/v1")
            if resumed:
                say(f"{resumed} solves of an earlier server go on")
            await until_told_to_end()
            say("ending: no new requests are taken")
            await solves.drain(drain_seconds)
