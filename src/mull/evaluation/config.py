"""What one evaluation is: problems, arms and how much each may draw."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, cast

from mull.core.codec import Json
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling, Thinking
from mull.core.spec import Option, Spec
from mull.engine import Dtype
from mull.evaluation.problems import ProblemSet
from mull.search import STRATEGIES, strategy_options
from mull.tasks import Form

FORMS: Final = ("reasoning", "direct")
BEST: Final = "best_of_n"
VOTES: Final = "self_consistency"
GREEDY: Final = "greedy"
MAX_SEEDS: Final = 1_000
MAX_TEMPERATURE: Final = 10


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer, as one row group of the table and one series of the plot."""

    model: str
    form: Form
    strategy: str
    verifier: str | None
    """None where answers are voted on or given unchecked."""

    @property
    def name(self) -> str:
        """Unique within an evaluation."""
        return f"{self.model}/{self.form}/{self.strategy}"

    @property
    def label(self) -> str:
        """For people."""
        chosen = f" ({self.verifier})" if self.verifier else ""
        if self.strategy == BEST and not self.verifier:
            chosen = " (majority vote)"
        form = "" if self.form == "reasoning" else ", direct"
        return f"{self.model} {self.strategy.replace('_', ' ')}{form}{chosen}"


@dataclass(frozen=True, slots=True)
class Draw:
    """One solve a problem and seed. Every arm in it asks for the same samples."""

    spec: Spec
    """The strategy that draws, with the largest n."""
    arms: tuple[Arm, ...]
    ns: tuple[int, ...]
    """Sample counts that are read off, ascending; the last is what is drawn."""
    num_seeds: int
    wave: int
    """Branches that one solve has in flight at once."""

    @property
    def label(self) -> str:
        """For people who watch."""
        strategies = " and ".join(arm.strategy.replace("_", " ") for arm in self.arms)
        form = "" if self.arms[0].form == "reasoning" else ", direct"
        return f"{self.arms[0].model} {strategies}{form}"


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """All that decides the numbers; equal configurations and weights give equal results."""

    problems: ProblemSet
    models: tuple[str, ...]
    strategies: tuple[str, ...] = (BEST,)
    forms: tuple[Form, ...] = ("reasoning",)
    ns: tuple[int, ...] = (1, 4, 16, 64)
    """Sample counts; the largest is drawn and the others are read off its prefix."""
    num_seeds: int = 1
    seed: int = 0
    """Solves use the seeds from here on, one after the other."""
    sampling: Sampling = Sampling()
    max_tokens: int = 256
    """Per completion."""
    dtype: Dtype = Dtype.FLOAT32
    """Numerical format of the models: it changes what a seed draws."""
    verifier: str | None = None
    """By the name under which a verifier speaks; arms about votes and greedy run without."""
    width: int = 16
    """Samples that `early_stop` draws before it looks."""
    has_baselines: bool = True
    """Greedy, majority vote and, for countdown, blind legal play beside what is asked."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ns", tuple(sorted(set(self.ns))))
        for name in ("models", "strategies", "forms"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        self._check_names()
        _check_range("n", self.ns, at_most=10_000)
        _check_range("seeds", (self.num_seeds,), at_most=MAX_SEEDS)
        _check_range("max_tokens", (self.max_tokens,), at_most=1_000_000)
        _check_range("width", (self.width,), at_most=10_000)
        if not 0.0 < self.sampling.temperature <= MAX_TEMPERATURE:
            raise BadInputError(
                f"temperature is {self.sampling.temperature}; it must lie above 0 and not above "
                f"{MAX_TEMPERATURE}",
                hint="strategy `greedy` decodes at temperature 0",
            )

    def _check_names(self) -> None:
        for kind, names, known in (
            ("strategy", self.strategies, STRATEGIES),
            ("form", self.forms, FORMS),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        if not (self.models and self.strategies and self.forms):
            raise BadInputError("an evaluation needs at least one model, strategy and form")
        if "early_stop" in self.strategies and self.verifier is None:
            raise BadInputError(
                "strategy `early_stop` stops at an accepted answer and needs a verifier",
                hint="name one with `--verifier`, or choose another strategy",
            )

    @property
    def has_blind_play(self) -> bool:
        """Whether the run has the baseline that knows the rules and nothing else."""
        return self.has_baselines and self.problems.task == "countdown"

    def arms(self, model: str) -> tuple[Arm, ...]:
        """Every arm of one model: what was asked for, then the baselines that were not."""
        wanted = list(self.strategies)
        if self.has_baselines:
            # Without a verifier best-of-n is a majority vote, and one is enough.
            has_vote = VOTES in wanted or (BEST in wanted and self.verifier is None)
            wanted += [] if has_vote else [VOTES]
            wanted += [] if GREEDY in wanted else [GREEDY]
        return tuple(
            Arm(model, form, strategy, self._verifier_of(strategy))
            for form in self.forms
            for strategy in wanted
        )

    def _verifier_of(self, strategy: str) -> str | None:
        return None if strategy in {VOTES, GREEDY} else self.verifier

    def spec(self, arm: Arm, n: int) -> Spec:
        """The arm's strategy with n samples."""
        offered: Mapping[str, Option] = {
            "n": n,
            "width": min(self.width, n),
            "verifier": arm.verifier,
            "max_tokens": self.max_tokens,
            "thinking": (Thinking.AUTO if arm.form == "reasoning" else Thinking.OFF).value,
            "temperature": self.sampling.temperature,
            "top_k": self.sampling.top_k,
            "top_p": self.sampling.top_p,
            "min_p": self.sampling.min_p,
        }
        known = strategy_options(arm.strategy)
        given = {name: value for name, value in offered.items() if value is not None}
        return Spec(arm.strategy, {name: given[name] for name in given if name in known})

    def draws(self, model: str) -> tuple[Draw, ...]:
        """The solves of one model. Arms that want the same samples share them."""
        groups = dict[tuple[Form, str], list[Arm]]()
        for arm in self.arms(model):
            shared = "samples" if arm.strategy in {BEST, VOTES} else arm.strategy
            groups.setdefault((arm.form, shared), []).append(arm)
        return tuple(self._draw(arms) for arms in groups.values())

    def _draw(self, arms: Sequence[Arm]) -> Draw:
        # The arm with a verifier draws for all: its tree holds the scores it needs, and the others
        # do not look at scores.
        drawing = next((arm for arm in arms if arm.verifier), arms[0])
        if drawing.strategy == GREEDY:  # has one answer, whatever the seed
            return Draw(self.spec(drawing, 1), tuple(arms), (1,), num_seeds=1, wave=1)
        largest = self.ns[-1]
        wave = min(self.width, largest) if drawing.strategy == "early_stop" else largest
        return Draw(self.spec(drawing, largest), tuple(arms), self.ns, self.num_seeds, wave)

    def to_json(self) -> Mapping[str, Json]:
        """Every setting, defaults included."""
        return cast("Mapping[str, Json]", json.loads(json.dumps(asdict(self))))


def _check_range(option: str, values: Sequence[int], *, at_most: int) -> None:
    if not values:
        raise BadInputError(f"`{option}` is empty; give at least one number")
    for value in values:
        if not 1 <= value <= at_most:
            raise BadInputError(f"`{option}` is {value}; it must lie between 1 and {at_most}")


def differences(there: Json, here: Json, path: str = "") -> list[str]:
    """Where two encoded configurations differ, in words a person can act on."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        names = [*there, *(name for name in here if name not in there)]
        return [
            line
            for name in names
            for line in differences(there.get(name), here.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if there == here else [f"`{path}` is {_shown(there)} there and {_shown(here)} here"]


def _shown(value: Json) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "unset" if value is None else f"{value}"
