"""The verifiers and guides that a comparison names, by whatever name a person types."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mull.build import Config, find_verifier
from mull.core.problem import AnswerKind
from mull.core.protocols import Verifier
from mull.evaluation.controls import CONTROLS

JUDGES = ("guide", "verifier")
"""Options whose value names one."""


@dataclass(slots=True)
class Judges:
    """Every judge of one command, made once. Owned by the command."""

    settings: Config
    kind: AnswerKind
    made: dict[str, Verifier] = field(default_factory=dict[str, Verifier])
    """By the name that was typed."""

    def name(self, typed: str) -> str | None:
        """The name under which it speaks; None for `none`, and for `auto` where there is none."""
        if typed not in self.made:
            found = self._find(typed)
            if found is None:
                return None
            self.made[typed] = found
        return self.made[typed].source.verifier

    def _find(self, typed: str) -> Verifier | None:
        if typed in CONTROLS:
            return CONTROLS[typed]()
        chosen = self.settings.verifier(typed)
        return find_verifier(chosen, self.kind) if isinstance(chosen, str) else chosen

    def arms(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Arms as typed, with every judge by the name under which it speaks."""
        return tuple("+".join(map(self._part, text.strip().split("+"))) for text in texts)

    def _part(self, part: str) -> str:
        option, equals, value = part.partition("=")
        if not equals or option not in JUDGES:
            return part
        return f"{option}={self.name(value) or 'none'}"

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All of them, each name that they speak under once."""
        return tuple({each.source.verifier: each for each in self.made.values()}.values())
