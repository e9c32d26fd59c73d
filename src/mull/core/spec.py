"""How a solve was set up, as names and options from which it can be set up again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mull.core.score import Source

Option = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Spec:
    """An implementation by name, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Option] = field(default_factory=dict[str, Option], hash=False)


@dataclass(frozen=True, slots=True)
class SolveSpec:
    """What `build` needs to continue a solve in another process."""

    model: str
    """What the policy calls its model: name, version and numerical format. Part of every id."""
    policy: Spec
    strategy: Spec
    controller: Spec = Spec("fixed")
    verifiers: tuple[Source, ...] = ()

    @property
    def quality(self) -> float | None:
        """The chance of being right that was asked for; None where none was."""
        asked = self.controller.options.get("quality")
        return asked if isinstance(asked, float) else None
