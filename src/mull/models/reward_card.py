"""What a reward model's checkpoint says of itself: the `mull` key of its `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, cast

from mull.core.errors import CheckpointError


class RewardKind(StrEnum):
    """What a reward model judges."""

    PROCESS = "process"
    """Every step (PRM): outputs at the last token of each."""
    OUTCOME = "outcome"
    """The whole completion (ORM): outputs at its last token."""


class Head(StrEnum):
    """What the outputs mean."""

    BINARY = "binary"
    """One logit of the probability that it comes out right."""
    BETA = "beta"
    """Logarithms of alpha and beta of a distribution over that probability (BetaPRM)."""

    @property
    def num_outputs(self) -> int:
        """Values a judged place."""
        return 1 if self is Head.BINARY else 2


ARCHITECTURES: Final[Mapping[RewardKind, str]] = {
    RewardKind.PROCESS: "LlamaForTokenClassification",
    RewardKind.OUTCOME: "LlamaForSequenceClassification",
}
"""How `transformers` calls them."""


@dataclass(frozen=True, slots=True)
class RewardCard:
    """The facts that a verifier needs, and where the model comes from."""

    kind: RewardKind
    head: Head
    labels: str = ""
    """How its training states were labelled: `mc`, `omega`, `exact`; with `hard-` where a state
    counts as good if any rollout came out right."""
    policy: str = ""
    """Whose states it was trained on."""
    families: tuple[str, ...] = ()
    """Problem families it was trained on; of others it has no opinion."""
    aggregation: str = "last"
    """How the values of the steps become one, chosen on validation problems."""
    calibration: Mapping[str, Mapping[str, object]] = field(
        default_factory=dict[str, Mapping[str, object]]
    )
    """By family: a calibration map fitted on held-out problems, as `verifiers.calibration` reads
    it."""
    error: Mapping[str, float] = field(default_factory=dict[str, float])
    """By family: the calibration error left on validation problems."""
    max_distance: float | None = None
    """Places further than this from the training features are foreign; None knows no limit."""

    def num_head_parameters(self, hidden_size: int) -> int:
        """Parameters of the head; only that of a process reward model has a bias."""
        bias = self.kind is RewardKind.PROCESS
        return self.head.num_outputs * (hidden_size + bias)

    def save(self, folder: Path) -> None:
        """Turn the folder's `config.json` into that of this reward model."""
        path = folder / "config.json"
        config = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        names = ("good",) if self.head is Head.BINARY else ("good", "bad")
        config |= {
            "architectures": [ARCHITECTURES[self.kind]],
            "num_labels": len(names),
            "id2label": {str(index): name for index, name in enumerate(names)},
            "label2id": {name: index for index, name in enumerate(names)},
            "classifier_dropout": 0.0,
            "mull": asdict(self),
        }
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder's card. `CheckpointError` where it holds no reward model of mull's."""
        path = folder / "config.json"
        try:
            config = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
            raw = cast("dict[str, object]", config["mull"])
            families = tuple(cast("list[str]", raw["families"]))
            return cls(
                **{
                    **raw,
                    "kind": RewardKind(cast("str", raw["kind"])),
                    "head": Head(cast("str", raw["head"])),
                    "families": families,
                }  # pyright: ignore[reportArgumentType]
            )
        except OSError as error:
            raise CheckpointError(f"cannot read `{path}`: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"`{path}` describes no reward model of mull's: {error}",
                hint="train one with `mull train prm`, or name the folder of one",
            ) from error


def is_reward_model(folder: Path) -> bool:
    """Whether a folder's `config.json` says that it holds a reward model."""
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = cast("dict[str, list[str]]", raw).get("architectures", [])
    except (OSError, ValueError, AttributeError):
        return False
    return any(name in ARCHITECTURES.values() for name in named)
