"""The one tokenizer of the shipped family: byte-level BPE, readable by `tokenizers` and llama.cpp.

Every whole number from 0 to 999 with its leading space is one token, and so is every word of the
built-in statements and every single letter; anything else falls back to bytes, so no text is
unknown. Merges only ever grow a token by one character to the right, which makes the result of
BPE independent of merge order: a pre-token is cut greedily from the left.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from mull.core.errors import CheckpointError

VOCAB_SIZE: Final = 1536
"""A multiple of 64, so that every matrix of a checkpoint can be quantised by llama.cpp."""

PAD: Final = "<|pad|>"
BEGIN: Final = "<|begin|>"
END: Final = "<|end|>"
SYSTEM: Final = "<|system|>"
USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"
THINK: Final = "<think>"
END_THINK: Final = "</think>"

SPECIAL_TOKENS: Final = (
    PAD,
    BEGIN,
    END,
    SYSTEM,
    USER,
    ASSISTANT,
    THINK,
    END_THINK,
    "<|revise|>",
    "<|propose|>",
    "<|probe|>",
    "<|judge|>",
    "<|join|>",
    "<|split|>",
    "<|good|>",
    "<|bad|>",
    *(f"<|reserved_{index}|>" for index in range(16)),
)
"""In id order from 0. Those after `</think>` are for kinds of expansion trained later."""

STATEMENT_WORDS: Final = (
    "Use",
    " and",
    " once",
    " each",
    " with",
    " to",
    " make",
    " left",
    "Multiply",
    " by",
    "Add",
    " modulo",
    "How",
    " many",
    " times",
    " does",
    " the",
    " letter",
    " appear",
    " in",
)

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think></think>' }}"
    "{% endif %}{% endif %}"
)
"""`enable_thinking=False` closes the thinking block before it starts: the direct answer form."""


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = (byte for byte in range(256) if byte not in printable)
    table = {byte: chr(byte) for byte in printable}
    table.update({byte: chr(256 + index) for index, byte in enumerate(spare)})
    return table


def _as_byte_characters(text: str) -> str:
    table = _byte_characters()
    return "".join(table[byte] for byte in text.encode())


def _whole_tokens() -> Iterable[str]:
    """Every text that must be one token, with a short one before those it begins."""
    singles = (*string.ascii_lowercase, *"+-*/=()")
    return chain(
        (f" {number}" for number in range(1000)), (f" {one}" for one in singles), STATEMENT_WORDS
    )


def build_tokenizer() -> Tokenizer:
    """Construct the tokenizer from nothing; the same bytes every time."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    for character in _byte_characters().values():
        vocabulary[character] = len(vocabulary)
    merges: list[tuple[str, str]] = []
    for text in map(_as_byte_characters, _whole_tokens()):
        for end in range(2, len(text) + 1):
            if text[:end] not in vocabulary:
                vocabulary[text[:end]] = len(vocabulary)
                merges.append((text[: end - 1], text[end - 1]))
    for index in range(len(vocabulary), VOCAB_SIZE):
        vocabulary[f"<|unused_{index}|>"] = index
    return Tokenizer.from_str(json.dumps(_tokenizer_json(vocabulary, merges)))


def _tokenizer_json(
    vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]
) -> dict[str, object]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    special = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": index, "content": token, "special": True, **special}
            for index, token in enumerate(SPECIAL_TOKENS)
        ],
        "pre_tokenizer": {**byte_level, "use_regex": True},
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges],
            "fuse_unk": False,
            "byte_fallback": False,
        },
    }


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """Encodes and decodes text; special tokens in `encode` input are recognised as such."""

    tokenizer: Tokenizer

    @classmethod
    def built(cls) -> TextTokenizer:
        """The shipped family's tokenizer, made from nothing."""
        return cls(build_tokenizer())

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read `tokenizer.json` of a checkpoint folder."""
        path = folder / "tokenizer.json"
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise CheckpointError(f"cannot read `{path}`: {error.strerror}") from error
        except Exception as error:  # the library raises bare Exception on bad JSON
            raise CheckpointError(f"`{path}` is not a tokenizer: {error}") from error

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return self.tokenizer.get_vocab_size()

    @property
    def vocabulary(self) -> dict[str, int]:
        """The id of every token, special ones too."""
        return self.tokenizer.get_vocab(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Ids of trusted text: a special token that it spells is that token."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_untrusted(self, text: str) -> list[int]:
        """Encode text that may spell a special token: such a spelling stays plain text."""
        self.tokenizer.encode_special_tokens = True
        try:
            return self.encode(text)
        finally:
            self.tokenizer.encode_special_tokens = False

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text with special tokens kept."""
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=False)

    def decode_plain(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens; bytes that are no UTF-8 come as U+FFFD."""
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=True)

    def find(self, token: str) -> int | None:
        """The id of a token by its exact name; None if there is no such token."""
        return self.tokenizer.token_to_id(token)

    def ids_ending_in(self, text: str) -> list[int]:
        """Every token whose text ends so, special ones aside."""
        ids = sorted(self.tokenizer.get_vocab(with_added_tokens=True).values())
        texts = self.tokenizer.decode_batch([[token] for token in ids], skip_special_tokens=True)
        return [token for token, each in zip(ids, texts, strict=True) if each.endswith(text)]

    def token_id(self, token: str) -> int:
        """The id of one token, spelled as it reads in text."""
        found = self.encode(token)
        if len(found) != 1:
            raise ValueError(f"`{token}` is {len(found)} tokens, not one")
        return found[0]

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` as `transformers` reads them."""
        (folder / "tokenizer.json").write_text(
            self.tokenizer.to_str(pretty=False), encoding="utf-8"
        )
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": END,
            "pad_token": PAD,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 512,
            "chat_template": CHAT_TEMPLATE,
        }
        text = json.dumps(settings, indent=2) + "\n"
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
