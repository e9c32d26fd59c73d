"""From names and settings to strategies and verifiers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mull.build import own, pooling
from mull.build.answers import answer_keys
from mull.build.catalog import REWARD_MODELS
from mull.build.recordings import read_recording
from mull.build.rewards import reward_folder, reward_verifier
from mull.core.answers import AnswerKey
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Thinking
from mull.core.problem import AnswerKind
from mull.core.protocols import Strategy, Verifier
from mull.core.score import Source
from mull.core.spec import Option, Spec
from mull.core.states import StateKey
from mull.puzzles import state_of
from mull.search import missing_option, strategy_of, strategy_options
from mull.verifiers import VERIFIERS, verifier_named
from mull.verifiers.recorded import SCHEME as RECORDED
from mull.verifiers.recorded import RecordedScores

AUTO: Final = "auto"
"""The verifier's name that means: the exact checker of the problem's kind, or none."""
NONE: Final = "none"

CHECKERS: Final[Mapping[AnswerKind, str]] = MappingProxyType(
    {
        AnswerKind.COUNTDOWN: "countdown",
        AnswerKind.PUZZLE: "puzzle",
        AnswerKind.CODE: "code",
    }
)
"""The exact checker of each answer kind that has one."""

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


def find_verifier(name: str, kind: AnswerKind) -> Verifier | None:
    """The verifier of that name; `auto` chooses by the answer kind, `none` is none."""
    if name == NONE:
        return None
    if name.startswith(RECORDED):
        place = Path(name.removeprefix(RECORDED)).expanduser()
        return RecordedScores(read_recording(place.resolve()))
    if name == AUTO:
        checker = CHECKERS.get(kind)
        return verifier_named(checker)() if checker else None
    if name in VERIFIERS:
        return verifier_named(name)()
    if name.startswith(pooling.SCHEME) or own.is_own(own.VERIFIERS, name):
        is_served = name.startswith(pooling.SCHEME)
        return pooling.pooling_verifier(name) if is_served else own.own_verifier(name)
    folder = reward_folder(name)
    if folder is None:
        known = (AUTO, NONE, *VERIFIERS, *REWARD_MODELS, *own.own_names(own.VERIFIERS))
        raise UnknownNameError("verifier", name, known)
    return reward_verifier(name, folder)


def verifier_of(source: Source) -> Verifier:
    """The verifier by name that once spoke as `source`; `BadInputError` where there is none."""
    for verifier in _candidates(source):
        if verifier.source == source:
            return verifier
        if verifier.source.verifier == source.verifier:
            raise BadInputError(
                f"the solve was checked by `{source}`; this mull has `{verifier.source}`",
                hint="use the version of mull that started it, or solve the problem anew",
            )
    raise missing_own("verifier", source.verifier)


def _candidates(source: Source) -> Iterator[Verifier]:
    if source.verifier.startswith(RECORDED):
        yield RecordedScores(read_recording(Path(source.verifier.removeprefix(RECORDED))))
        return
    if source.verifier.startswith(pooling.SCHEME):
        yield pooling.pooling_verifier(source.verifier)
        return
    makers: tuple[Callable[[], Verifier], ...] = tuple(VERIFIERS.values())
    yield from (make() for make in makers)
    folder = reward_folder(source.verifier)
    if folder is not None:
        yield reward_verifier(source.verifier, folder)
