"""`mull.toml`: models, strategies and defaults, read once and checked whole.

    [defaults]
    model = "fast"

    [models.fast]
    model = "openai:http://127.0.0.1:8000/v1#NAME"
    key = "FAST_API_KEY"                        # the variable's name, never the key
    prices = { input = 0.10, output = 0.40 }    # US dollars per million tokens; by itself a table's
    agreement = "agreement.json"                # what its votes are worth, by `mull calibrate`

    [verifiers.prm]
    model = "pooling:http://127.0.0.1:8001#PRM"
    step_tag = "<extra_0>"

    [verifiers.critic]
    kind = "judge"
    model = "fast"

    [verifiers.strict]
    kind = "hybrid"
    rest = "critic"

    [strategies.best_of_n]
    n = 8

    [telemetry]
    endpoint = "http://127.0.0.1:4318"          # a collector of OpenTelemetry's, for `mull serve`

Every key that is not known is an error which names its place. Flags win over what stands here.
"""

import re
import tomllib
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar, cast

from mull.build import judges, pooling
from mull.build.answers import answer_keys
from mull.build.catalog import MODELS
from mull.build.controllers import read_agreements
from mull.build.judges import JudgeSettings, NamedJudge
from mull.build.judging import AUTO, NONE, WRAPPERS, VerifierChoice, verifier_by
from mull.build.keys import KeyUse
from mull.build.models import ModelChoice, choose_model
from mull.build.pooling import Pooling
from mull.build.prices import price_options, row_prices
from mull.build.schemes import OpenAI, key_use, scheme_in, settings_of, spec_of
from mull.build.telemetry import Telemetry
from mull.core.codec import DecodeError, Json, decode
from mull.core.errors import BadInputError, MullError
from mull.core.protocols import Verifier
from mull.core.spec import Option, Spec
from mull.engine import Dtype
from mull.policies.priced import Prices
from mull.search import STRATEGIES, strategy_of, strategy_options
from mull.verifiers import VERIFIERS, HybridVerifier
from mull.verifiers.hybrid import SCHEME as HYBRID

FILE: Final = "mull.toml"
"""Where it is looked for: in the working directory."""

POOLING: Final = tuple(each.name for each in fields(Pooling) if each.name != "place")
JUDGE: Final = tuple(each.name for each in fields(JudgeSettings))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is meant where no flag says otherwise. None: mull's own default."""

    model: str | None = None
    answer: str | None = None
    strategy: str | None = None
    verifier: str | None = None
    budget_tokens: int | None = None
    budget_seconds: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file's content as objects."""

    file: Path | None = None
    """None: there is no file, and everything is as mull does it by itself."""
    defaults: Defaults = Defaults()
    models: Mapping[str, ModelChoice] = field(default_factory=dict[str, ModelChoice])
    """By the names that the file gives them."""
    verifiers: Mapping[str, VerifierChoice] = field(default_factory=dict[str, VerifierChoice])
    """By the names that the file gives them."""
    strategies: Mapping[str, Spec] = field(default_factory=dict[str, Spec])
    """Of built-in names, with the options that the file sets."""
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Where `mull serve` sends spans."""

    def model(self, name: str, *, dtype: Dtype = Dtype.FLOAT32) -> ModelChoice:
        """The model of that name, in the file or anywhere; see `choose_model`."""
        named = self.models.get(name)
        return choose_model(name, dtype=dtype) if named is None else named

    def verifier(self, name: str) -> str | VerifierChoice:
        """The verifier of that name, where the file has it or its part; else the name itself.

        `judge:MODEL` may name one of the file's models, `hybrid:NAME` and `supported:NAME`
        one of its verifiers.
        """
        scheme, colon, part = name.partition(":")
        if name in self.verifiers:
            return self.verifiers[name]
        if scheme + colon == judges.SCHEME and part in self.models:
            return VerifierChoice(name, partial(NamedJudge, name, self.models[part]))
        wrap = WRAPPERS.get(scheme + colon)
        if wrap is not None and not isinstance(self.verifier(part), str):
            return VerifierChoice(name, lambda: wrap(self.made(part)))
        return name

    def made(self, name: str) -> Verifier:
        """The verifier of that name, made; `UnknownNameError` or `BadInputError` without one."""
        found = self.verifier(name)
        return verifier_by(found) if isinstance(found, str) else found.make()

    @property
    def key_uses(self) -> frozenset[KeyUse]:
        """Which keys the file itself sends where."""
        models = [key_use(each.spec) for each in self.models.values()]
        served = [each.key_use for each in self.verifiers.values()]
        return frozenset(each for each in (*models, *served) if each is not None)

    def strategy(self, name: str) -> Spec:
        """The strategy with its options; `BadInputError` for an unknown name comes when used."""
        return self.strategies.get(name, Spec(name))


NO_FILE: Final = Config()


def read_config(path: Path | None = None) -> Config:
    """The configuration in a file; None looks for `mull.toml` here, which need not exist.

    Raises `BadInputError` for a file that cannot be read and for whatever it does not know.
    """
    if path is None and not Path(FILE).is_file():
        return Config()
    return _Reader.of(Path(FILE) if path is None else path).config()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one file; its errors name the place."""

    file: Path
    text: str
    content: Mapping[str, object]

    @classmethod
    def of(cls, file: Path) -> "_Reader":
        try:
            text = file.read_text(encoding="utf-8")
            return cls(file, text, tomllib.loads(text))
        except OSError as error:
            raise BadInputError(f"cannot read `{file}`: {error.strerror}") from error
        except ValueError as error:  # neither UTF-8 nor TOML
            raise BadInputError(f"`{file}` is no TOML: {error}") from error

    def config(self) -> Config:
        known = ("defaults", "models", "verifiers", "strategies", "telemetry")
        for name in self.content:
            if name not in known:
                self._refuse("", name, known)
        verifiers = dict[str, VerifierChoice]()
        config = Config(
            self.file,
            self._plain(Defaults, "defaults", self._table(self.content, "defaults")),
            {name: self._model(name) for name in self._table(self.content, "models")},
            verifiers,
            {name: self._strategy(name) for name in self._table(self.content, "strategies")},
            self._plain(Telemetry, "telemetry", self._table(self.content, "telemetry")),
        )
        for name in self._table(self.content, "verifiers"):
            verifiers[name] = self._verifier(name, config)
        return config

    def _model(self, name: str) -> ModelChoice:
        where = f"models.{name}"
        table = self._named("models", name, MODELS)
        model, prices = self._place(where, table, OpenAI.example), table.pop("prices", None)
        agreement = table.pop("agreement", None)
        with self._placed(where):
            chosen = self._chosen(where, model, table, prices)
            if agreement is None:
                return chosen
            if not isinstance(agreement, str):
                self._mistyped(where, "agreement", "no file's name")
            agreements = read_agreements(self.file.parent / agreement)
            return replace(chosen, agreements=agreements)

    def _verifier(self, name: str, config: Config) -> VerifierChoice:
        """By its `kind`: `pooling` unless it says otherwise."""
        where = f"verifiers.{name}"
        table = self._named("verifiers", name, (*VERIFIERS, AUTO, NONE))
        kind = table.pop("kind", "pooling")
        if kind == "hybrid":
            return self._hybrid(where, name, table, config)
        if kind not in {"pooling", "judge"}:
            self._mistyped(where, "kind", "none of pooling, judge, hybrid")
        model = self._place(where, table, judges.MODEL if kind == "judge" else pooling.EXAMPLE)
        if kind == "judge":
            return self._judge(where, name, table, config.model(model))
        self._check_keys(where, table, ("kind", "model", *POOLING))
        with self._placed(where):
            if not model.startswith(pooling.SCHEME):
                raise BadInputError(
                    f"`{model}` is no served reward model",
                    hint=f'write `model = "{pooling.EXAMPLE}"`, or `kind = "judge"` for a model '
                    "that is asked for its opinion",
                )
            options = {**table, "place": model.removeprefix(pooling.SCHEME)}
            served = decode(Pooling, cast("Mapping[str, Json]", options))
            served.verifier(name)
        return VerifierChoice(name, partial(served.verifier, name), served.key_use)

    def _judge(
        self, where: str, name: str, table: Mapping[str, object], choice: ModelChoice
    ) -> VerifierChoice:
        self._check_keys(where, table, ("kind", "model", *JUDGE))
        with self._placed(where):
            settings = decode(JudgeSettings, cast("Mapping[str, Json]", table))
            NamedJudge(name, choice, settings)
        return VerifierChoice(
            name, partial(NamedJudge, name, choice, settings), key_use(choice.spec)
        )

    def _hybrid(
        self, where: str, name: str, table: Mapping[str, object], config: Config
    ) -> VerifierChoice:
        self._check_keys(where, table, ("kind", "rest"))
        rest = table.get("rest")
        if not isinstance(rest, str):
            self._mistyped(where, "rest", "missing: it names the verifier that is asked")
        described = self._table(self._table(self.content, "verifiers"), rest, "verifiers")
        if rest.startswith(HYBRID) or described.get("kind") == "hybrid":
            self._mistyped(where, "rest", "a hybrid itself, and one is enough")
        return VerifierChoice(name, lambda: HybridVerifier(config.made(rest), name))

    def _named(self, group: str, name: str, taken: Collection[str]) -> dict[str, object]:
        """The table of that name, which must not mean anything by itself."""
        if name in taken or ":" in name or "/" in name:
            raise BadInputError(
                f"{self._at(f'{group}.{name}')}: `{name}` already means something by itself",
                hint="choose another name",
            )
        return dict(self._table(self._table(self.content, group), name, group))

    def _place(self, where: str, table: dict[str, object], example: str) -> str:
        model = table.pop("model", None)
        if not isinstance(model, str):
            raise BadInputError(
                f"{self._at(where)}: `model` is missing or no text",
                hint=f'write it as in `model = "{example}"`',
            )
        return model

    @contextmanager
    def _placed(self, where: str) -> Generator[None, None, None]:
        """Errors of what a table describes, with the place of the table."""
        try:
            yield
        except (MullError, DecodeError) as error:
            message = str(error)
            if message.startswith(f"`{self.file}`"):
                raise
            hint = error.hint if isinstance(error, MullError) else None
            raise BadInputError(f"{self._at(where)}: {message}", hint=hint) from error

    def _chosen(
        self, where: str, model: str, table: Mapping[str, object], prices: object
    ) -> ModelChoice:
        scheme = scheme_in(model)
        if scheme is None:
            self._check_keys(where, table, ("model", "dtype", "draft", "agreement"))
            dtype = self._value(Dtype, where, "dtype", table.get("dtype", Dtype.FLOAT32.value))
            draft = table.get("draft")
            if not isinstance(draft, str | None):
                self._mistyped(where, "draft", "no text: it names the model that guesses ahead")
            return choose_model(model, dtype=dtype, draft=draft)
        self._check_keys(where, table, ("model", *settings_of(scheme), "prices", "agreement"))
        options = cast("dict[str, Option]", dict(table))
        if prices is not None:
            options |= price_options(self._prices(where, prices))
        return ModelChoice(spec_of(scheme, model.removeprefix(f"{scheme}:"), options))

    def _prices(self, where: str, given: object) -> Prices:
        """Typed, or by the name of a row of the table."""
        if isinstance(given, str):
            return row_prices(given)
        if not isinstance(given, Mapping):
            self._mistyped(where, "prices", "neither a table nor the name of a row")
        return self._plain(Prices, f"{where}.prices", cast("Mapping[str, object]", given))

    def _strategy(self, name: str) -> Spec:
        where = f"strategies.{name}"
        if name not in STRATEGIES:
            self._refuse("strategies", name, STRATEGIES)
        table = self._table(self._table(self.content, "strategies"), name, "strategies")
        known = strategy_options(name)
        self._check_keys(where, table, known)
        spec = Spec(name, cast("Mapping[str, Option]", table))
        named = {each: "named" for each, is_required in known.items() if is_required}
        with self._placed(where):
            strategy_of(Spec(name, {**named, **spec.options}), answer_keys())
        return spec

    def _plain(self, kind: type[T], where: str, table: Mapping[str, object]) -> T:
        """A dataclass of plain values from a table."""
        self._check_keys(where, table, [each.name for each in fields(cast("type[Defaults]", kind))])
        with self._placed(where):
            return decode(kind, cast("Mapping[str, Json]", table))

    def _value(self, kind: type[T], where: str, key: str, value: object) -> T:
        try:
            return decode(kind, cast("Json", value))
        except DecodeError as error:
            return self._mistyped(where, key, str(error))

    def _table(
        self, content: Mapping[str, object], name: str, where: str = ""
    ) -> Mapping[str, object]:
        table = content.get(name, {})
        if not isinstance(table, Mapping):
            self._mistyped(where, name, "no table")
        return cast("Mapping[str, object]", table)

    def _check_keys(self, where: str, table: Mapping[str, object], known: Iterable[str]) -> None:
        names = list(known)
        for key in table:
            if key not in names:
                self._refuse(where, key, names)

    def _refuse(self, where: str, key: str, known: Iterable[str]) -> NoReturn:
        names = sorted(known)
        nearest = get_close_matches(key, names, n=1, cutoff=0.5)
        raise BadInputError(
            f"{self._at(where, key)}: no key `{key}`; known: {', '.join(names)}",
            hint=f"did you mean `{nearest[0]}`?" if nearest else None,
        )

    def _mistyped(self, where: str, key: str, what: str) -> NoReturn:
        raise BadInputError(f"{self._at(where, key)}: `{key}` is {what}")

    def _at(self, where: str, key: str = "") -> str:
        """The file, the line where that can be found, and the table."""
        number = _line_of(self.text, where, key)
        line = f", line {number}" if number else ""
        return f"`{self.file}`{line}" + (f", [{where}]" if where else "")


def _line_of(text: str, where: str, key: str) -> int | None:
    """The line that sets `key` in table `where`, or opens that table; None for an inline one."""
    table, opened = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.fullmatch(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?", line):
            table = header[1].replace('"', "")
            is_wanted = table == (where or key)
            opened = number if is_wanted and opened is None else opened
            if key and table == f"{where}.{key}".strip("."):
                return number
        elif key and table == where and re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', line):
            return number
    return opened
