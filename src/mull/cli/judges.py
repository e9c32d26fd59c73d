"""The verifiers and guides that a comparison names, by whatever name a person types."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mull.build import Config, find_verifier
from mull.core.problem import AnswerKind
from mull.core.protocols import Verifier
from mull.evaluation.controls import CONTROLS


@dataclass(slots=True)
class Judges:
    """Every judge of one command, made once. Owned by the command."""

    settings: Config
    kind: AnswerKind
    made: dict[str, Verifier] = field(default_factory=dict[str, Verifier])
    """By the name that was typed."""

    def verifier(self, typed: str) -> str | None:
        """The name under which it speaks; None for `none`, and for `auto` where there is none."""
        if typed not in self.made:
            chosen = self.settings.verifier(typed)
            found = find_verifier(chosen, self.kind) if isinstance(chosen, str) else chosen.make()
            if found is None:
                return None
            self.made[typed] = found
        return self.made[typed].source.verifier

    def guide(self, typed: str) -> str | None:
        """The same for a judge of steps, which may also be a control."""
        if typed in CONTROLS:
            self.made.setdefault(typed, CONTROLS[typed]())
        return self.verifier(typed)

    def arms(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Arms as typed, with every judge by the name under which it speaks."""
        return tuple("+".join(map(self._part, text.strip().split("+"))) for text in texts)

    def _part(self, part: str) -> str:
        option, _, value = part.partition("=")
        name = {"guide": self.guide, "verifier": self.verifier}.get(option)
        return part if name is None or not value else f"{option}={name(value) or 'none'}"

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All of them, each name that they speak under once."""
        return tuple({each.source.verifier: each for each in self.made.values()}.values())
