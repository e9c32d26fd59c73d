"""`mull demo`: a hard puzzle in front of your eyes, then a hundred real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final, cast

import typer
from rich.table import Table
from rich.text import Text

from mull.build import DEFAULT_MODEL, MissingExtraError, OpenModel, find_verifier, open_model
from mull.cli.options import JsonOption, ModelOption
from mull.cli.output import say, show, show_json, show_table
from mull.cli.progress import watching
from mull.cli.reports import quoted_lines
from mull.cli.solution import show_solution, usage_in_words, usage_json
from mull.cli.stages import watching_stages
from mull.core.codec import Json, encode
from mull.core.errors import BadInputError, CheckpointError, UnknownNameError
from mull.core.problem import AnswerKind
from mull.core.protocols import Verifier
from mull.core.solution import Solution
from mull.evaluation.bars import Bar, bar_lines
from mull.evaluation.controls import CONTROLS
from mull.evaluation.demo import (
    HARD_GAMES,
    SEARCH_BUDGET,
    SEARCH_SAMPLES,
    Games,
    Play,
    Rival,
    answer_greedily,
    blind_plays,
    play_games,
    search_until_accepted,
    search_with_guide,
)
from mull.evaluation.drawing import Fate
from mull.evaluation.quoted import GPT4_GAME24, SOURCE
from mull.evaluation.tables import percent
from mull.puzzles import Countdown
from mull.solver import Observer

EXAMPLES: Final = """\
Examples:

mull demo

mull demo --model mull-mini

mull demo --json"""


GuideOption = Annotated[
    str,
    typer.Option(
        "--guide",
        help="The step verifier that steers the searches: a reward model, or oracle, which knows "
        "the truth.",
    ),
]
DEFAULT_GUIDE: Final = "mull-prm"


def demo(
    *,
    model: ModelOption = DEFAULT_MODEL,
    guide: GuideOption = DEFAULT_GUIDE,
    as_json: JsonOption = False,
) -> None:
    """Watch a small model fail at a puzzle, think longer and solve it; then see it on 100 games."""
    try:
        asyncio.run(_demo(model, guide, as_json=as_json))
    except BadInputError:
        # No model: what needs none is shown all the same, and the error says what to do.
        if not as_json:
            _show_games(blind_plays())
        raise


async def _demo(name: str, guide_name: str, *, as_json: bool) -> None:
    guide = _guide(guide_name)
    async with open_model(name) as model:
        story = Story(model, is_told=not as_json)
        tries = [each async for each in story.hard_games()]
        if guide is not None and not as_json:
            await _show_search(model, tries[-1].game, guide)
        story.tell()
        story.tell("3. The 100 games of the Tree of Thoughts paper (ranks 900-999)", "bold")
        story.tell("   mull trains on none of their number sets, with any target.")
        with watching_stages() as watcher:
            games = await play_games(name, model, watcher, guide)
    if as_json:
        show_json("demo", _as_json(tries, games))
        return
    _show_games(games.plays)
    if games.rivals:
        _show_rivals(games.rivals)


def _guide(name: str) -> Verifier | None:
    """The step verifier; None, with a line that says so, where the default one is not installed."""
    if name in CONTROLS:
        return CONTROLS[name]()
    try:
        return find_verifier(name, AnswerKind.COUNTDOWN)
    except (CheckpointError, UnknownNameError, MissingExtraError):
        if name != DEFAULT_GUIDE:
            raise
    say(f"no step verifier `{name}` is installed: the tree searches are left out", style="yellow")
    return None


async def _show_search(model: OpenModel, game: Countdown, guide: Verifier) -> None:
    """One search, drawn."""
    solution, drawing = await search_with_guide(model, game, guide)
    show()
    show(f"2. The same game as a tree, steered by `{guide.source.verifier}` (beam)", style="bold")
    show("   In front of every step stands what the guide thinks of the path that ends with it.")
    show("   What is in brackets is exact, and came after the search.")
    show()
    for line in drawing.lines():
        show(f"   {line.text}", style=_STYLES[line.fate])
    show()
    show(f"   {usage_in_words(solution.usage)}", style="dim")


_STYLES: Final[Mapping[Fate, str]] = {
    Fate.KEPT: "",
    Fate.GIVEN_UP: "dim",
    Fate.COUNTED: "dim",
    Fate.RIGHT: "bold green",
    Fate.WRONG: "red",
}


@dataclass(frozen=True, slots=True)
class Try:
    """A hard game: the greedy answer and, where that is wrong, what more compute came to."""

    game: Countdown
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
            return Try(game, greedy, None)
        self.tell()
        self.tell(
            f"   The same model, up to {SEARCH_SAMPLES} attempts, until the exact checker "
            "accepts one (early_stop)",
            "bold",
        )
        self.tell()
        return Try(game, greedy, await self._watched(search_until_accepted, game))

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


def _show_rivals(rivals: Sequence[Rival]) -> None:
    show()
    show(f"4. The same games as trees, {SEARCH_BUDGET} samples' worth each", style="bold")
    table = Table(box=None, pad_edge=False)
    table.add_column("player")
    for name in ("solved", "95 %", "tokens/game", "best of n", "MFLOPs/game", "best of n"):
        table.add_column(name, justify="right", no_wrap=True)
    for rival in rivals:
        cells = (
            rival.label,
            *percent(rival.solved),
            f"{rival.tokens:,.0f}",
            _share(rival.at_tokens),
            f"{rival.flops / 1e6:,.0f}",
            _share(rival.at_flops),
        )
        table.add_row(*map(Text, cells))
    show()
    show_table(table)
    show()
    show("best of n: what it solves with as many tokens, and with as many FLOPs", style="dim")
    show("the guide's own work is in the FLOPs", style="dim")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _bars(plays: Sequence[Play]) -> Iterator[Bar]:
    for play in plays:
        yield Bar(f"{play.label}, {play.samples}", play.solved.value)
    for quoted in GPT4_GAME24[-2:]:
        yield Bar(f"{quoted.label} (quoted)", quoted.accuracy)


def _as_json(tries: Sequence[Try], games: Games) -> dict[str, Json]:
    return {
        "tries": [
            {
                "statement": each.greedy.tree.problem.statement,
                "greedy": _solution_json(each.greedy),
                "search": None if each.search is None else _solution_json(each.search),
            }
            for each in tries
        ],
        "games": [cast(Json, asdict(play)) for play in games.plays],
        "rivals": [cast(Json, asdict(rival)) for rival in games.rivals],
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
