"""Seeds by place, so that batching, resuming and the order of arrival change no result."""

from mull.core.digest import digest_bytes


def derive_seed(run_seed: int, *path: str | int) -> int:
    """A seed in [0, 2**63) that depends only on where in the run it is used.

    Equal paths give equal seeds. Within a branch, the randomness for its token number t must come
    from (the branch's seed, t) alone, so that a branch continued after a crash draws what it would
    have drawn.
    """
    return int.from_bytes(digest_bytes(8, run_seed, *path)) >> 1
