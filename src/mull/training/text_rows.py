"""Training rows of the text families: whole problems with their traces, packed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import torch

from mull.models.tokenizer import TextTokenizer
from mull.tasks.example import Form
from mull.tasks.generators import sample_text
from mull.training.batch import IGNORED, PADDING, ROW_LENGTH, Batch
from mull.training.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class TextSource:
    """One kind of document and how many of its tokens to draw, relative to the others."""

    family: str
    levels: tuple[int, ...]
    form: Form
    weight: float


SOURCES: Final = (
    TextSource("chain", tuple(range(2, 11)), "reasoning", 5.0),
    TextSource("multiply", (1, 2, 3, 4), "reasoning", 6.0),
    TextSource("letters", (1, 2), "reasoning", 2.0),
    TextSource("countdown", (3, 4, 5), "direct", 1.5),
    TextSource("chain", (2, 3, 4, 5, 6), "direct", 0.5),
    TextSource("multiply", (1, 2, 3, 4), "direct", 0.5),
    TextSource("letters", (1, 2), "direct", 0.3),
)


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids of one problem and its answer; the first `num_given` are not trained on."""

    token_ids: tuple[int, ...]
    num_given: int


class TextRows:
    """Endless packed rows, a pure function of the seed."""

    def __init__(self, tokenizer: TextTokenizer, seed: int) -> None:
        self._tokenizer = tokenizer
        self._words = Vocabulary.of(tokenizer)
        self._random = Random(seed)
        self._spent = [0.0] * len(SOURCES)

    def batch(self, rows: int) -> Batch:
        """`rows` rows filled first-fit; documents that fit no row end the filling."""
        packed: list[list[Document]] = [[] for _ in range(rows)]
        room = [ROW_LENGTH] * rows
        for document in self._documents():
            size = len(document.token_ids) - 1  # the last token is only ever a target
            fitting = next((row for row in range(rows) if room[row] >= size), None)
            if fitting is None:
                break
            packed[fitting].append(document)
            room[fitting] -= size
        return self._tensors(packed)

    def _documents(self) -> Iterator[Document]:
        while True:
            # The source furthest behind its share of tokens comes next.
            index = min(
                range(len(SOURCES)), key=lambda place: self._spent[place] / SOURCES[place].weight
            )
            document = self._document(SOURCES[index])
            self._spent[index] += len(document.token_ids)
            yield document

    def _document(self, source: TextSource) -> Document:
        level = self._random.choice(source.levels)
        statement, completion = sample_text(source.family, level, source.form, self._random)
        prompt = f"<|begin|><|user|>{statement}<|assistant|>"
        if source.form == "direct":
            closed = "<think></think>"
            prompt, completion = prompt + closed, completion.removeprefix(closed)
        given = self._tokenizer.encode(prompt)
        trained = self._tokenizer.encode(completion)
        return Document((*given, *trained, self._words.end), len(given))

    def _tensors(self, packed: Sequence[Sequence[Document]]) -> Batch:
        shape = (len(packed), ROW_LENGTH)
        tokens = torch.full(shape, self._words.pad)
        targets = torch.full(shape, IGNORED)
        positions = torch.zeros(shape, dtype=torch.int64)
        segments = torch.full(shape, PADDING)
        for row, documents in enumerate(packed):
            start = 0
            for segment, document in enumerate(documents, start=1):
                size = len(document.token_ids) - 1
                place = slice(start, start + size)
                ids = torch.tensor(document.token_ids)
                tokens[row, place] = ids[:-1]
                targets[row, start + document.num_given - 1 : start + size] = ids[
                    document.num_given :
                ]
                positions[row, place] = torch.arange(size)
                segments[row, place] = segment
                start += size
        return Batch(tokens, positions, segments, targets)
