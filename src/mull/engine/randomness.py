"""Counter-based randomness: the number for token t of a branch depends on (seed, t) alone."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def uniforms(seeds: NDArray[np.uint64], counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Number `counter` (from 0) of each seed's stream, uniform in [0, 1) in steps of 2**-53.

    SplitMix64 (Steele, Lea & Flood 2014): its state advances by a constant, so any place of the
    stream is reached at once. Arithmetic is modulo 2**64.
    """
    z = seeds + _GAMMA * (counters.astype(np.uint64) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
