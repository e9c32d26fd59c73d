"""From names and settings to strategies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mull.build.answers import answer_keys
from mull.core.answers import AnswerKey
from mull.core.errors import BadInputError
from mull.core.expansion import Thinking
from mull.core.protocols import Strategy
from mull.core.score import Source
from mull.core.spec import Option, Spec
from mull.core.states import StateKey
from mull.puzzles import state_of
from mull.search import missing_option, strategy_of, strategy_options

OWN: Final = "own:"
"""Prefix of the spec name of an object that the caller made."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search. None leaves the strategy's own default; a setting it lacks is refused."""

    n: int | None = None
    """Answers to draw."""
    width: int | None = None
    """Answers drawn, or paths kept, at once."""
    temperature: float | None = None
    max_tokens: int | None = None
    """Tokens one answer may take, reasoning included."""
    thinking: Thinking | None = None
    top_p: float | None = None
    """Of the likeliest tokens, the share of probability that is drawn from."""
    on_arrival: bool | None = None
    """Whether a wave is looked at while it grows, and ends where it is decided."""

    def options(self) -> dict[str, Option]:
        """What was set, by the names of strategy options."""
        if self.temperature is not None and not 0 < self.temperature <= 10:
            raise BadInputError(
                f"temperature is {self.temperature}; it must lie above 0 and not above 10",
                hint="strategy `greedy` decodes at temperature 0",
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise BadInputError(f"`top_p` is {self.top_p}; it must lie above 0 and not above 1")
        given: dict[str, Option] = {
            "n": self.n,
            "width": self.width,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "thinking": self.thinking.value if self.thinking else None,
            "on_arrival": self.on_arrival,
        }
        return {name: value for name, value in given.items() if value is not None}


def strategy_spec(
    base: Spec,
    settings: SearchSettings,
    verifier: Source | None,
    *,
    guide: Source | None = None,
    insists: bool = False,
) -> Spec:
    """The spec of a named strategy, checked; `BadInputError` says what does not fit.

    Settings and judges win over the options of `base`. With `insists`, a verifier that the strategy
    has no use for is an error.
    """
    name, known = base.name, strategy_options(base.name)
    options = {**base.options, **settings.options()}
    if guide is not None:
        options["guide"] = guide.verifier
    if beyond := [option for option in options if option not in known]:
        offered = [option for option in known if option not in {"guide", "verifier"}]
        raise BadInputError(
            f"strategy `{name}` has no setting `{beyond[0]}`; it has: {', '.join(offered)}"
        )
    if known.get("guide") and options.get("guide") is None:
        raise missing_option(name, "guide")
    if verifier is not None and "verifier" in known:
        options["verifier"] = verifier.verifier
    elif verifier is not None and insists:
        raise BadInputError(
            f"strategy `{name}` takes no verifier",
            hint="leave the verifier out, or use `best_of_n` or `early_stop`",
        )
    elif known.get("verifier"):
        raise BadInputError(
            f"strategy `{name}` needs a verifier, and there is none for this problem",
            hint="use `best_of_n` or `self_consistency`, or pass a verifier of your own",
        )
    spec = Spec(name, options)
    strategy_of(spec, answer_keys())
    return spec


@dataclass(frozen=True, slots=True)
class StrategyTable:
    """Makes the strategies that specs name: the built-in ones, and the caller's own."""

    own: Mapping[str, Strategy] = field(default_factory=dict[str, Strategy])
    answer_key: AnswerKey = field(default_factory=answer_keys)
    state_key: StateKey = state_of

    def __call__(self, spec: Spec) -> Strategy:
        """The strategy; raises `BadInputError` for a spec that describes none."""
        made = self.own.get(spec.name)
        return strategy_of(spec, self.answer_key, self.state_key) if made is None else made


def own_name(thing: object) -> str:
    """The spec name of something of the caller's: a name that loads it, or an object's class."""
    return OWN + (thing if isinstance(thing, str) else type(thing).__name__)


def missing_own(kind: str, name: str) -> BadInputError:
    """The error for a solve that cannot go on without an object of the caller's."""
    return BadInputError(
        f"the solve uses a {kind} of its author's own, `{name.removeprefix(OWN)}`",
        hint=f"pass it again: mull.resume(..., {kind}=...), or `--{kind} MODULE:NAME`",
    )
