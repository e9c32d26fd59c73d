"""Verifiers by name: built in, behind a server, recorded, of one's own, or made of others."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mull.build import judges, own, pooling
from mull.build.catalog import REWARD_MODELS
from mull.build.judges import NamedJudge
from mull.build.keys import KeyUse, check_foreign_use
from mull.build.models import choose_model
from mull.build.recordings import read_recording
from mull.build.rewards import reward_folder, reward_verifier
from mull.build.schemes import key_use
from mull.build.strategies import missing_own
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.problem import AnswerKind
from mull.core.protocols import Verifier
from mull.core.score import Source
from mull.verifiers import VERIFIERS, HybridVerifier, SupportedVerifier, verifier_named
from mull.verifiers.hybrid import SCHEME as HYBRID
from mull.verifiers.recorded import SCHEME as RECORDED
from mull.verifiers.recorded import RecordedScores
from mull.verifiers.supported import SCHEME as SUPPORTED

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


@dataclass(frozen=True, slots=True)
class VerifierChoice:
    """A verifier that a configuration file describes, not made yet. Whoever makes it closes it."""

    name: str
    make: Callable[[], Verifier]
    key_use: KeyUse | None = None
    """The key that the file has it send."""


def find_verifier(name: str, kind: AnswerKind) -> Verifier | None:
    """The verifier of that name; `auto` chooses by the answer kind, `none` is none."""
    if name == NONE:
        return None
    if name == AUTO:
        checker = CHECKERS.get(kind)
        return verifier_named(checker)() if checker else None
    return verifier_by(name)


def verifier_by(name: str) -> Verifier:
    """The verifier of a name that means one; `UnknownNameError` or `BadInputError` without one."""
    if name in VERIFIERS:
        return verifier_named(name)()
    scheme, colon, place = name.partition(":")
    if scheme + colon in SCHEMES:
        if not place:
            raise BadInputError(
                f"verifier `{name}` names nothing", hint="write what it stands for behind the colon"
            )
        return SCHEMES[scheme + colon](place)
    if own.is_own(own.VERIFIERS, name):
        return own.own_verifier(name)
    folder = reward_folder(name)
    if folder is None:
        known = (AUTO, NONE, *VERIFIERS, *REWARD_MODELS, *own.own_names(own.VERIFIERS))
        raise UnknownNameError("verifier", name, known)
    return reward_verifier(name, folder)


def _recorded(place: str) -> Verifier:
    return RecordedScores(read_recording(Path(place).expanduser().resolve()))


def _pooling(place: str) -> Verifier:
    return pooling.pooling_verifier(f"{pooling.SCHEME}{place}")


def _judge(place: str) -> Verifier:
    return NamedJudge(f"{judges.SCHEME}{place}", choose_model(place))


def _wrapped(wrap: Callable[[Verifier], Verifier]) -> Callable[[str], Verifier]:
    return lambda place: wrap(verifier_by(place))


WRAPPERS: Final[Mapping[str, Callable[[Verifier], Verifier]]] = MappingProxyType(
    {HYBRID: HybridVerifier, SUPPORTED: SupportedVerifier}
)
"""What makes a verifier of another one, by the prefix of its name."""
SCHEMES: Final[Mapping[str, Callable[[str], Verifier]]] = MappingProxyType(
    {
        RECORDED: _recorded,
        pooling.SCHEME: _pooling,
        judges.SCHEME: _judge,
        **{scheme: _wrapped(wrap) for scheme, wrap in WRAPPERS.items()},
    }
)
"""What makes a verifier out of what follows each prefix."""


def verifier_of(source: Source, known: frozenset[KeyUse] = frozenset()) -> Verifier:
    """The verifier that a journal names by how it spoke; `BadInputError` where there is none.

    No code is run, and no key goes to a place that is not `known`, because a journal says so.
    """
    return checked_source(_named_again(source.verifier, known), source)


def checked_source(verifier: Verifier, source: Source) -> Verifier:
    """The verifier, if it is the one that spoke as `source`."""
    if verifier.source != source:
        raise BadInputError(
            f"the solve was checked by `{source}`; this mull has `{verifier.source}`",
            hint="use the version of mull and the settings that started it, or solve it anew",
        )
    return verifier


def _named_again(name: str, known: frozenset[KeyUse]) -> Verifier:
    built_in = next((each for each in _built_in() if each.source.verifier == name), None)
    if built_in is not None:
        return built_in
    scheme, colon, place = name.partition(":")
    if wrap := WRAPPERS.get(scheme + colon):
        return wrap(_named_again(place, known))
    check_foreign_use(_key_use(scheme + colon, place), known, "--verifier " + name)
    if scheme + colon in SCHEMES or reward_folder(name) is not None:
        return verifier_by(name)
    raise missing_own("verifier", name)


def _built_in() -> Iterator[Verifier]:
    return (make() for make in VERIFIERS.values())


def _key_use(scheme: str, place: str) -> KeyUse | None:
    if scheme == pooling.SCHEME:
        return pooling.Pooling(place).key_use
    return key_use(choose_model(place).spec) if scheme == judges.SCHEME else None
