"""Game of 24 by GPT-4 (`tot_gpt4`, Yao et al. 2023) and GPT-3.5 (`xot_game24`, Ding et al. 2023).

The answer is the last line as it stands; a sample is right by the source's own verdict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, cast

from mull.core.codec import Json
from mull.core.digest import content_digest
from mull.core.recorded_search import RecordedSearches, Thought
from mull.core.recording import Record
from mull.tasks.recorded.rows import RawRow, Rows
from mull.tasks.recorded.sets import RecordedProblem, RecordedSet, recorded_problem

TOT: Final = "tot_gpt4"
XOT: Final = "xot_game24"
_TOT_FILES: Final = ("game24_io100", "game24_cot100", "game24_tot_b5")
_TOT_PART: Final = ".idx900-949.jsonl.gz"
_TOP_VALUE: Final = 60.0


@dataclass(frozen=True, slots=True)
class PuzzleRow:
    """A line of `24.csv`, whose order numbers the games."""

    Puzzles: str


@dataclass(frozen=True, slots=True)
class Wave:
    """One step of a beam search: from `ys` to every proposal, its value, and what was kept."""

    ys: tuple[str, ...] = ()
    new_ys: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    select_new_ys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogRow:
    """A game of a log: `ys` are the samples, or the finals of a search."""

    ys: tuple[str, ...]
    right: tuple[bool, ...]
    idx: int = -1
    """Left out by some logs, which have the games in their order."""
    usage_so_far: Mapping[str, float] = field(default_factory=dict[str, float])
    """Counts since the log began; they start anew where it was continued."""
    steps: tuple[Wave, ...] = ()

    def __post_init__(self) -> None:
        if len(self.ys) != len(self.right):
            raise ValueError(f"{len(self.ys)} samples have {len(self.right)} verdicts")


def _log_row(row: RawRow) -> RawRow:
    """The verdicts come as `accs` or as the `r` of `infos`; waves bring more than is wanted."""
    infos = cast("Sequence[Mapping[str, Json]]", row.get("infos", ()))
    waves = cast("Sequence[Mapping[str, Json]]", row.get("steps", ()))
    wanted = ("ys", "new_ys", "values", "select_new_ys")
    return {
        **row,
        "right": row.get("accs") or [bool(each["r"]) for each in infos],
        "steps": [{key: wave[key] for key in wanted if key in wave} for wave in waves],
    }


def logs(rows: Rows, name: str) -> list[LogRow]:
    """Every game of a log."""
    return list(rows.json_lines(name, LogRow, shape=_log_row))


@dataclass(frozen=True, slots=True)
class SearchedSet:
    """Recorded beam searches, and which of the answers they ended with are right."""

    problems: tuple[RecordedProblem, ...]
    """The finals, best first, and their verdicts."""
    searches: RecordedSearches
    most_thoughts: int
    """From any one place."""


def read_tot_search(rows: Rows) -> SearchedSet:
    """The searches of width 5 of `tot_gpt4`. Three votes of at most 20 make a value."""
    puzzles = [row.Puzzles for row in rows.csv_lines("24.csv", PuzzleRow)]
    games = logs(rows, f"game24_tot_b5{_TOT_PART}")
    problems = [
        _problem(TOT, game.idx, f"Game of 24: {puzzles[game.idx]}", game, {}) for game in games
    ]
    thoughts = {
        problem.example.problem.messages: _thoughts(game.steps)
        for problem, game in zip(problems, games, strict=True)
    }
    version = content_digest(*(record.text for each in problems for record in each.records))
    most = max(len(each) for places in thoughts.values() for each in places.values())
    searches = RecordedSearches("gpt-4 tree of thoughts", version, thoughts)
    return SearchedSet(tuple(problems), searches, most)


def _thoughts(waves: Sequence[Wave]) -> dict[str, tuple[Thought, ...]]:
    """What was proposed from each place. A repeated proposal, which the log values 0, is one."""
    found = dict[str, dict[str, Thought]]()
    for number, wave in enumerate(waves):
        is_final = number == len(waves) - 1
        for text, value in zip(wave.new_ys, wave.values, strict=True):
            place = max((each for each in wave.ys if text.startswith(each)), key=len)
            step = text.removeprefix(place)
            thought = Thought(step, value / _TOP_VALUE, is_final)
            found.setdefault(place, {}).setdefault(step, thought)
    return {place: tuple(steps.values()) for place, steps in found.items()}


def read_tot(rows: Rows) -> Iterator[RecordedSet]:
    """The direct, the chain-of-thought and the tree-of-thought answers to 50 games."""
    puzzles = [row.Puzzles for row in rows.csv_lines("24.csv", PuzzleRow)]
    for name in _TOT_FILES:
        games = logs(rows, f"{name}{_TOT_PART}")
        spent = _increments([game.usage_so_far for game in games])
        problems = [
            _problem(TOT, game.idx, f"Game of 24: {puzzles[game.idx]}", game, usage)
            for game, usage in zip(games, spent, strict=True)
            if game.idx < len(puzzles)
        ]
        yield RecordedSet(name, "gpt-4", tuple(problems))


def read_xot(rows: Rows) -> Iterator[RecordedSet]:
    """Every GPT-3.5 run over 137 games, which most logs number only by their order."""
    for path in sorted(rows.folder.glob("*.jsonl.gz")):
        problems = [
            _problem(XOT, number, f"Game of 24, number {number} of {XOT}", game, {})
            for number, game in enumerate(logs(rows, path.name))
        ]
        name = path.name.removesuffix(".jsonl.gz").removeprefix("gpt-35-turbo-20220309_")
        yield RecordedSet(name, "gpt-3.5-turbo", tuple(problems))


def _problem(
    source: str, number: int, statement: str, game: LogRow, usage: Mapping[str, float]
) -> RecordedProblem:
    """The samples share alike what the log says of all of them together."""
    count = len(game.ys)
    tokens, prompt = (int(usage.get(f"{key}_tokens", 0)) for key in ("completion", "prompt"))
    samples = [
        (
            Record(
                statement,
                text,
                last_line(text),
                tokens=_part(tokens, place, count),
                prompt_tokens=_part(prompt, place, count),
                money_usd=usage.get("cost", 0.0) / count,
            ),
            is_right,
        )
        for place, (text, is_right) in enumerate(zip(game.ys, game.right, strict=True))
    ]
    return recorded_problem(source, str(number), statement, "24", samples)


def last_line(text: str) -> str:
    """The line that holds the answer."""
    return text.strip().rsplit("\n", 1)[-1]


def _part(amount: int, place: int, count: int) -> int:
    return amount * (place + 1) // count - amount * place // count


def _increments(totals: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """What each row added to running totals; where a total falls, counting began anew."""
    found = list[Mapping[str, float]]()
    for before, after in pairwise([{}, *totals]):
        is_new = any(after[key] < before.get(key, 0) for key in after)
        found.append({key: after[key] - (0 if is_new else before.get(key, 0)) for key in after})
    return found
