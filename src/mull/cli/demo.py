"""`mull demo`: a hard puzzle in front of your eyes, then a hundred real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, cast

from rich.table import Table
from rich.text import Text

from mull.build import DEFAULT_MODEL, OpenModel, open_model
from mull.cli.options import JsonOption, ModelOption
from mull.cli.output import show, show_json, show_table
from mull.cli.progress import watching
from mull.cli.reports import quoted_lines
from mull.cli.solution import show_solution, usage_json
from mull.cli.stages import watching_stages
from mull.core.codec import Json, encode
from mull.core.errors import BadInputError
from mull.core.solution import Solution
from mull.evaluation.bars import Bar, bar_lines
from mull.evaluation.demo import (
    HARD_GAMES,
    SEARCH_SAMPLES,
    Play,
    answer_greedily,
    blind_plays,
    play_games,
    search_until_accepted,
)
from mull.evaluation.quoted import GPT4_GAME24, SOURCE
from mull.evaluation.tables import percent
from mull.puzzles import Countdown
from mull.solver import Observer

EXAMPLES: Final = """\
Examples:

mull demo

mull demo --model mull-mini

mull demo --json"""


def demo(*, model: ModelOption = DEFAULT_MODEL, as_json: JsonOption = False) -> None:
    """Watch a small model fail at a puzzle, think longer and solve it; then see it on 100 games."""
    try:
        asyncio.run(_demo(model, as_json=as_json))
    except BadInputError:
        # No model: what needs none is shown all the same, and the error says what to do.
        if not as_json:
            _show_games(blind_plays())
        raise


async def _demo(name: str, *, as_json: bool) -> None:
    async with open_model(name) as model:
        story = Story(model, is_told=not as_json)
        tries = [each async for each in story.hard_games()]
        story.tell()
        story.tell("2. The 100 games of the Tree of Thoughts paper (ranks 900-999)", "bold")
        story.tell("   mull trains on none of their number sets, with any target.")
        with watching_stages() as watcher:
            plays = await play_games(name, model, watcher)
    if as_json:
        show_json("demo", _as_json(tries, plays))
    else:
        _show_games(plays)


@dataclass(frozen=True, slots=True)
class Try:
    """A hard game: the greedy answer and, where that is wrong, what more compute came to."""

    greedy: Solution
    search: Solution | None

    @property
    def shows_it(self) -> bool:
        """Whether greedy failed and more compute succeeded."""
        return self.search is not None and self.search.answer is not None


Answer = Callable[[OpenModel, Countdown, Observer], Awaitable[Solution]]


@dataclass(frozen=True, slots=True)
class Story:
    """The first part of the demo, told as it happens or kept to itself."""

    model: OpenModel
    is_told: bool

    async def hard_games(self) -> AsyncIterator[Try]:
        """Try game after game, until one shows what more compute is good for or none is left."""
        for game in HARD_GAMES:
            tried = await self._try(game)
            yield tried
            if tried.shows_it:
                return
        self.tell("   No game was found that greedy misses and a longer search solves.", "yellow")

    async def _try(self, game: Countdown) -> Try:
        self.tell()
        self.tell("1. One hard game: the likeliest answer, once (greedy)", "bold")
        self.tell()
        greedy = await self._watched(answer_greedily, game)
        if greedy.answer is not None:
            self.tell("   Greedy was right. Another game:", "yellow")
            return Try(greedy, None)
        self.tell()
        self.tell(
            f"   The same model, up to {SEARCH_SAMPLES} attempts, until the exact checker "
            "accepts one (early_stop)",
            "bold",
        )
        self.tell()
        return Try(greedy, await self._watched(search_until_accepted, game))

    async def _watched(self, answer: Answer, game: Countdown) -> Solution:
        with watching() as view:
            solution = await answer(self.model, game, view.see)
        if self.is_told:
            show_solution(solution)
        return solution

    def tell(self, line: str = "", style: str = "") -> None:
        """Show a line, if anybody listens."""
        if self.is_told:
            show(line, style=style)


def _show_games(plays: Sequence[Play]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("player")
    for name in ("samples", "solved", "95 %", "tokens/game", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for play in plays:
        tokens = "-" if play.tokens is None else f"{play.tokens:,.0f}"
        solved = percent(play.solved)
        cells = (play.label, f"{play.samples}", *solved, tokens, f"{play.seconds:.1f}")
        table.add_row(*map(Text, cells))
    show()
    show_table(table)
    show()
    for line in bar_lines(list(_bars(plays)), width=30):
        show(line)
    show()
    for line in quoted_lines(GPT4_GAME24):
        show(line, style="dim")


def _bars(plays: Sequence[Play]) -> Iterator[Bar]:
    for play in plays:
        yield Bar(f"{play.label}, {play.samples}", play.solved.value)
    for quoted in GPT4_GAME24[-2:]:
        yield Bar(f"{quoted.label} (quoted)", quoted.accuracy)


def _as_json(tries: Sequence[Try], plays: Sequence[Play]) -> dict[str, Json]:
    return {
        "tries": [
            {
                "statement": each.greedy.tree.problem.statement,
                "greedy": _solution_json(each.greedy),
                "search": None if each.search is None else _solution_json(each.search),
            }
            for each in tries
        ],
        "games": [cast(Json, asdict(play)) for play in plays],
        "quoted": [encode(each) for each in GPT4_GAME24],
        "quoted_source": SOURCE,
    }


def _solution_json(solution: Solution) -> Json:
    steps = solution.trajectory.steps if solution.trajectory else ()
    return {
        "answer": solution.answer,
        "stop": solution.stop.value,
        "steps": [step.text for step in steps],
        "usage": usage_json(solution.usage),
    }
