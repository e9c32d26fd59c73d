"""Which checkpoint exactly: a digest of the files that decide what a model says."""

from __future__ import annotations

from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Final

from mull.core.errors import CheckpointError

CONTENT_FILES: Final = (
    "model.safetensors",
    "early_features.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def content_digest(folder: Path) -> str:
    """Changes whenever anything changes that decides what the model samples or scores."""
    digest = blake2b(digest_size=6)
    for name in CONTENT_FILES:
        path = folder / name
        try:
            with path.open("rb") as file:
                digest.update(name.encode() + file_digest(file, "sha256").digest())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CheckpointError(f"cannot read `{path}`: {error.strerror}") from error
    return digest.hexdigest()
