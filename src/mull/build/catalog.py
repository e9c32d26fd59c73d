"""The models that ship with mull, and what a checkpoint folder says about itself without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from mull.core.errors import BadInputError, CheckpointError, UnknownNameError
from mull.models.config import ModelConfig
from mull.models.reward_card import RewardCard, RewardKind, is_reward_model

MODELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mull-base": "reasons best; the default",
        "mull-mini": "one fourteenth of the size: weaker an attempt, cheaper a token",
    }
)
"""Shipped models by name, and what each is for."""

REWARD_MODELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mull-prm": "judges every step of a countdown; the size of `mull-mini`",
    }
)
"""Shipped reward models by name, and what each is for."""

_SUMMARIES: Final[Mapping[str, str]] = {**MODELS, **REWARD_MODELS}

TRAINED: Final = ("countdown", "multiply", "chain", "letters")
"""The problem families that shipped models were trained on; they know no other."""

_OWN_MARKS: Final = frozenset({"<|probe|>", "<|judge|>", "<|join|>", "<|reserved_0|>"})
"""Special tokens that only the shipped family's tokenizer has."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk, found but not opened."""

    name: str
    """The shipped name, or the folder as an absolute path."""
    folder: Path
    knows_only_puzzles: bool
    """Trained by mull, on its puzzle families alone; any other model may take any text."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A checkpoint as people ask about it."""

    name: str
    folder: Path
    summary: str = ""
    num_parameters: int = 0
    """Embeddings included, tied ones once; 0 where the weights are missing."""
    num_core_parameters: int = 0
    """Without embeddings: the size that scaling claims quote."""
    num_bytes: int = 0
    """Of the folder's files."""
    window: int = 0
    """Longest sequence in tokens, the problem included."""
    dtype: str = ""
    """Number format of the stored weights."""
    families: tuple[str, ...] = ()
    """Problem families it was trained on; empty where mull does not know."""
    judges: RewardKind | None = None
    """What a reward model judges; None for a model that generates."""

    @property
    def is_present(self) -> bool:
        """Whether the weights are there."""
        return self.num_bytes > 0


def shipped_folder(name: str) -> Path:
    """Where a shipped model lies (or would lie) in this installation."""
    return Path(str(resources.files("mull").joinpath("checkpoints", name)))


def find_checkpoint(model: str) -> Checkpoint:
    """The checkpoint of a shipped model's name, or of a folder; it may be a reward model.

    Raises `UnknownNameError` for what is neither, and `CheckpointError` for a shipped model whose
    weights this installation lacks or a path that is no folder.
    """
    if model in MODELS or model in REWARD_MODELS:
        return Checkpoint(model, present_folder(model), knows_only_puzzles=True)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Checkpoint(
            str(folder.resolve()), folder.resolve(), knows_only_puzzles=_is_own(folder)
        )
    if folder.exists():
        raise CheckpointError(
            f"model `{model}` is a file; a checkpoint is a folder",
            hint="name the folder that holds `config.json` and `model.safetensors`",
        )
    if "/" in model or model.startswith((".", "~")):
        raise CheckpointError(
            f"no checkpoint folder `{model}`", hint="`mull models` lists the shipped models"
        )
    raise UnknownNameError("model", model, MODELS)


def find_policy(model: str) -> Checkpoint:
    """As `find_checkpoint`, for a model that generates. `BadInputError` for a reward model."""
    checkpoint = find_checkpoint(model)
    if is_reward_model(checkpoint.folder):
        raise BadInputError(
            f"model `{model}` is a reward model: it judges, and generates nothing",
            hint=f"steer a search with `--guide {model}`, or choose answers with "
            f"`--verifier {model}`; the model is another one, such as mull-base",
        )
    return checkpoint


def present_folder(name: str) -> Path:
    """The folder of a shipped model; `CheckpointError` where this installation lacks it."""
    folder = shipped_folder(name)
    if not folder.is_dir():
        size = name.removeprefix("mull-")
        remake = (
            "`mull train prm --states DIR --out DIR` and name DIR/model"
            if name in REWARD_MODELS
            else f"`mull train policy --size {size} --out DIR` and pass --model DIR/model"
        )
        raise CheckpointError(
            f"the weights of model `{name}` are missing from this installation (`{folder}`)",
            hint=f"reinstall mull, or make them with {remake}",
        )
    return folder


def _is_own(folder: Path) -> bool:
    """Whether the folder's tokenizer is that of the shipped family."""
    try:
        raw = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        added = cast("dict[str, list[dict[str, str]]]", raw)["added_tokens"]
        return {each["content"] for each in added} >= _OWN_MARKS
    except (OSError, ValueError, KeyError, TypeError):
        return False  # opening the checkpoint says what is wrong with it


def describe(checkpoint: Checkpoint) -> ModelCard:
    """A checkpoint's card, from its small files alone; `CheckpointError` if it is none."""
    config = ModelConfig.load(checkpoint.folder)
    embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_embeddings else 2)
    core, families, judges = config.num_core_parameters, (), None
    if is_reward_model(checkpoint.folder):
        reward = RewardCard.load(checkpoint.folder)
        core += reward.num_head_parameters(config.hidden_size)
        families, judges = reward.families, reward.kind
    elif checkpoint.knows_only_puzzles:
        families = TRAINED
    return ModelCard(
        checkpoint.name,
        checkpoint.folder,
        _SUMMARIES.get(checkpoint.name, ""),
        core + embeddings,
        core,
        sum(each.stat().st_size for each in checkpoint.folder.iterdir() if each.is_file()),
        config.max_positions,
        _stored_dtype(checkpoint.folder),
        families,
        judges,
    )


def _stored_dtype(folder: Path) -> str:
    """`ModelConfig.load` has already read the file as a JSON object."""
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = cast("dict[str, object]", raw)
    return str(named.get("torch_dtype") or named.get("dtype") or "float32")


def shipped_models() -> tuple[ModelCard, ...]:
    """A card for every shipped model, present or not; reward models come last."""
    return tuple(_shipped_card(name) for name in (*sorted(MODELS), *sorted(REWARD_MODELS)))


def _shipped_card(name: str) -> ModelCard:
    folder = shipped_folder(name)
    if not folder.is_dir():
        return ModelCard(name, folder, _SUMMARIES[name])
    return describe(Checkpoint(name, folder, knows_only_puzzles=True))
