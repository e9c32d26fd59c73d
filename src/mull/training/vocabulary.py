"""Token ids that training data is assembled from directly, without going through text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mull.models.tokenizer import ASSISTANT, BEGIN, END, END_THINK, PAD, THINK, USER, TextTokenizer


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Ids of the pieces of a countdown derivation and of the chat frame around it."""

    pad: int
    begin: int
    end: int
    user: int
    assistant: int
    think: int
    end_think: int
    number_base: int
    """The id of ` 0`; ` 1` to ` 999` follow it."""
    operators: tuple[int, int, int, int]
    """Add, subtract, multiply, divide."""
    equals: int
    left: int
    newline: int
    full_stop: int

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> Self:
        """The ids of this tokenizer. ValueError where it has no token for one of the pieces."""
        base = tokenizer.token_id(" 0")
        if tokenizer.token_id(" 999") != base + 999:
            raise ValueError("the ids of the numbers 0 to 999 are not consecutive")
        add, subtract, multiply, divide = map(tokenizer.token_id, (" +", " -", " *", " /"))
        return cls(
            pad=tokenizer.token_id(PAD),
            begin=tokenizer.token_id(BEGIN),
            end=tokenizer.token_id(END),
            user=tokenizer.token_id(USER),
            assistant=tokenizer.token_id(ASSISTANT),
            think=tokenizer.token_id(THINK),
            end_think=tokenizer.token_id(END_THINK),
            number_base=base,
            operators=(add, subtract, multiply, divide),
            equals=tokenizer.token_id(" ="),
            left=tokenizer.token_id(" left"),
            newline=tokenizer.token_id("\n"),
            full_stop=tokenizer.token_id("."),
        )
