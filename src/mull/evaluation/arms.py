"""One way to answer: a strategy of one model, with what was said about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mull.core.errors import BadInputError
from mull.core.spec import Option
from mull.evaluation.budgets import Rule, rule_of, strategy_behind
from mull.search import strategy_options
from mull.tasks import Form

BEST: Final = "best_of_n"
VOTES: Final = "self_consistency"
GREEDY: Final = "greedy"
NONE: Final = "none"
"""The value that unsets an option: `best_of_n+verifier=none` is a majority vote."""

_WORDS: Final[Mapping[str, Option]] = {"true": True, "false": False, NONE: None}


@dataclass(frozen=True, slots=True)
class Arm:
    """A row group of the table and a series of the plot."""

    model: str
    form: Form
    text: str
    """As asked for: the strategy and what was said about it, `beam+guide=random`."""
    options: Mapping[str, Option] = field(default_factory=dict[str, Option], hash=False)
    """What holds at every budget: its verifier and guide, and what was said."""

    @property
    def strategy(self) -> str:
        """The name it is asked for by, as in `budgets.RULES`."""
        return name_in(self.text)

    @property
    def rule(self) -> Rule:
        """How it is given a budget."""
        return rule_of(self.strategy)

    @property
    def name(self) -> str:
        """Unique within an evaluation."""
        return f"{self.model}/{self.form}/{self.text}"

    @property
    def verifier(self) -> str | None:
        """Who judges its answers; None where they are voted on or given unchecked."""
        return _text(self.options.get("verifier"))

    @property
    def guide(self) -> str | None:
        """Who judges its steps; None where nobody does."""
        return _text(self.options.get("guide"))

    @property
    def judges(self) -> tuple[str, ...]:
        """Every verifier it asks, the one that judges answers first."""
        return tuple(each for each in (self.verifier, self.guide) if each is not None)

    @property
    def label(self) -> str:
        """For people; what holds for all arms alike is not repeated."""
        return f"{self.model} {self.title}"

    @property
    def title(self) -> str:
        """The label without the model."""
        said = [_note(part) for part in self.text.split("+")[1:]]
        if self.strategy == BEST and self.verifier is None:
            said = ["majority vote"]
        form = "" if self.form == "reasoning" else ", direct"
        notes = f" ({', '.join(said)})" if said else ""
        return f"{self.strategy.replace('_', ' ')}{form}{notes}"


def _note(part: str) -> str:
    """`guide=runs/prm/model` as `guide model`, `early_stop=true` as `early stop`."""
    option, _, value = part.partition("=")
    name = option.replace("_", " ")
    return name if value == "true" else f"{name} {value.rpartition('/')[2]}"


def _text(value: Option) -> str | None:
    return None if value is None else str(value)


def name_in(text: str) -> str:
    """The name in `NAME+option=value+…`."""
    return text.partition("+")[0]


def options_said(text: str) -> dict[str, Option]:
    """The options in `NAME+option=value+…`; BadInputError for what cannot be read."""
    name, *said = text.split("+")
    known, options = strategy_options(strategy_behind(name)), dict[str, Option]()
    for each in said:
        option, equals, value = each.partition("=")
        if not equals or option not in known:
            raise BadInputError(
                f"`{each}` in `{text}` is no option of strategy `{name}`",
                hint=f"write `{name}+option=value`; it has: {', '.join(known)}",
            )
        options[option] = _value(value)
    return options


def _value(text: str) -> Option:
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
