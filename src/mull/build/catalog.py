"""The models that ship with mull, and what a checkpoint folder says about itself without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from mull.core.errors import CheckpointError, UnknownNameError
from mull.models.config import ModelConfig

MODELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mull-base": "reasons best; the default",
        "mull-mini": "one fourteenth of the size: weaker an attempt, cheaper a token",
    }
)
"""Shipped models by name, and what each is for."""

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

    @property
    def is_present(self) -> bool:
        """Whether the weights are there."""
        return self.num_bytes > 0


def shipped_folder(name: str) -> Path:
    """Where a shipped model lies (or would lie) in this installation."""
    return Path(str(resources.files("mull").joinpath("checkpoints", name)))


def find_checkpoint(model: str) -> Checkpoint:
    """The checkpoint of a shipped model's name, or of a folder.

    Raises `UnknownNameError` for what is neither, and `CheckpointError` for a shipped model whose
    weights this installation lacks or a path that is no folder.
    """
    if model in MODELS:
        return Checkpoint(model, _present(model), knows_only_puzzles=True)
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


def _present(name: str) -> Path:
    folder = shipped_folder(name)
    if not folder.is_dir():
        size = name.removeprefix("mull-")
        raise CheckpointError(
            f"the weights of model `{name}` are missing from this installation (`{folder}`)",
            hint=f"reinstall mull, or make them with `mull train policy --size {size} --out DIR` "
            "and pass --model DIR/model",
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
    return ModelCard(
        checkpoint.name,
        checkpoint.folder,
        MODELS.get(checkpoint.name, ""),
        config.num_core_parameters + embeddings,
        config.num_core_parameters,
        sum(each.stat().st_size for each in checkpoint.folder.iterdir() if each.is_file()),
        config.max_positions,
        _stored_dtype(checkpoint.folder),
        TRAINED if checkpoint.knows_only_puzzles else (),
    )


def _stored_dtype(folder: Path) -> str:
    """`ModelConfig.load` has already read the file as a JSON object."""
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = cast("dict[str, object]", raw)
    return str(named.get("torch_dtype") or named.get("dtype") or "float32")


def shipped_models() -> tuple[ModelCard, ...]:
    """A card for every shipped model, present or not."""
    return tuple(_shipped_card(name) for name in sorted(MODELS))


def _shipped_card(name: str) -> ModelCard:
    folder = shipped_folder(name)
    if not folder.is_dir():
        return ModelCard(name, folder, MODELS[name], families=TRAINED)
    return describe(Checkpoint(name, folder, knows_only_puzzles=True))
