"""Content digests: equal content, equal id, in every process and on every machine."""

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 10
"""80 bits: for a billion ids the chance of any collision is below 1e-6."""


def content_digest(*parts: str | int) -> str:
    """A short hexadecimal digest of the parts, sensitive to where one ends and the next begins."""
    return digest_bytes(DIGEST_BYTES, *parts).hex()


def digest_bytes(size: int, *parts: str | int) -> bytes:
    """The same as `size` bytes, 1 to 64; `1` and `"1"` are different parts."""
    digest = blake2b(digest_size=size)
    for part in parts:
        encoded = f"{type(part).__name__}:{part}".encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return digest.digest()
