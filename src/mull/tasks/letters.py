"""Letter counting on made-up words: syllables, and strings that repeat a few letters."""

from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Letters
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

LENGTHS: Final = {1: (4, 7), 2: (8, 12)}
"""Level to the least and the greatest number of letters."""
LEVELS: Final = range(1, 3)
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
ONSETS: Final = (
    *"bcdfghjklmnprstvwz",
    "bl",
    "br",
    "ch",
    "cr",
    "dr",
    "fl",
    "gr",
    "pl",
    "sh",
    "st",
    "tr",
)
VOWELS: Final = (*"aeiou", *"aeiou", "y", "ai", "ea", "ee", "oo", "ou")
CODAS: Final = (*[""] * 8, *"nrstlmk", "ll", "ss", "nd", "rr", "tt", "ck", "wx", "q")
# Syllables read like words; strings over few letters give the high counts that words rarely have.
SYLLABLE_SHARE: Final = 0.6
ABSENT_SHARE: Final = 0.15
"""How often the letter is drawn from the alphabet instead of from the word."""


def draw_letters(level: int, rng: Random, split: Split) -> Letters:
    """A word of the split, and a letter that mostly occurs in it."""
    shortest, longest = LENGTHS[level]
    while True:
        length = shortest + int(rng.random() * (longest - shortest + 1))
        word = _syllables(length, rng) if rng.random() < SYLLABLE_SHARE else _string(length, rng)
        if in_held_out_bucket(map(ord, word)) == (split == "test"):
            source = ALPHABET if rng.random() < ABSENT_SHARE else word
            return Letters(source[int(rng.random() * len(source))], word)


def _syllables(length: int, rng: Random) -> str:
    word = ""
    while len(word) < length:
        word += "".join(part[int(rng.random() * len(part))] for part in (ONSETS, VOWELS, CODAS))
    return word[:length]


def _string(length: int, rng: Random) -> str:
    num_letters = 2 + int(rng.random() * 6)
    letters = [ALPHABET[int(rng.random() * 26)] for _ in range(num_letters)]
    return "".join(letters[int(rng.random() * num_letters)] for _ in range(length))


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem."""
    puzzle = draw_letters(level, rng, split)
    count = puzzle.word.count(puzzle.letter)
    return example_of(puzzle, reference=count, level=level, split=split, group=puzzle.word)


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    puzzle = draw_letters(level, rng, split)
    return puzzle.statement, write_count(puzzle, form)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001 (one way to write it)
    """A right completion."""
    puzzle = Letters.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no letter count")
    return write_count(puzzle, form)


def write_count(puzzle: Letters, form: Form) -> str:
    """The count, after the scratchpad (`reasoning`) or alone (`direct`)."""
    lines, count = "", 0
    for letter in puzzle.word:
        count += letter == puzzle.letter
        lines += f" {letter} {count}\n"
    return f"<think>{lines if form == 'reasoning' else ''}</think> {count}"
