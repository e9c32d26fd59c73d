"""Seeds by place, so that batching, resuming and the order of arrival change no result."""

from hashlib import blake2b


def derive_seed(run_seed: int, *path: str | int) -> int:
    """A seed in [0, 2**63) that depends only on where in the run it is used.

    Equal paths give equal seeds. Within a branch, the randomness for its token number t must come
    from (the branch's seed, t) alone, so that a branch continued after a crash draws what it would
    have drawn.
    """
    digest = blake2b(digest_size=8)
    for part in (run_seed, *path):
        encoded = f"{type(part).__name__}:{part}".encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return int.from_bytes(digest.digest()) >> 1
