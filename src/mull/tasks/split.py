"""Which problems are kept out of training: for every family a hash of the problem's numbers.

The hash is a few integer operations that fit in 64 bits, so that training code can repeat it on
tensors.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from mull.tasks.game24 import game_multisets

Split = Literal["train", "test"]

MULTIPLIER: Final = 1_000_003
OFFSET: Final = 17
PRIME: Final = 2_147_483_647
SPREADER: Final = 48_271
NUM_BUCKETS: Final = 20
MIN_HELD_OUT_SIZE: Final = 3
"""States of fewer numbers occur in every derivation and cannot be kept apart."""


def sequence_hash(values: Iterable[int]) -> int:
    """A fixed hash in [0, 2**31 - 1) that depends on the order of the values."""
    value_hash = 0
    for value in values:
        value_hash = (value_hash * MULTIPLIER + value + OFFSET) % PRIME
    return value_hash


def in_held_out_bucket(values: Iterable[int]) -> bool:
    """Whether the hash falls in the one bucket of twenty that is never trained on."""
    return (sequence_hash(values) * SPREADER) % PRIME % NUM_BUCKETS == 0


def is_held_out(multiset: Sequence[int]) -> bool:
    """Whether countdown numbers, in any order and for any target, are kept out of training.

    True for the real games and for one multiset in twenty, of three numbers or more.
    """
    if len(multiset) < MIN_HELD_OUT_SIZE:
        return False
    ordered = tuple(sorted(multiset))
    return ordered in game_multisets() or in_held_out_bucket(ordered)


def any_held_out(states: Iterable[Sequence[int]]) -> bool:
    """Whether a derivation through these states may not be trained on."""
    return any(map(is_held_out, states))
