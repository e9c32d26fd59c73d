"""Where a model is served, and the key to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

from mull.core.errors import BadInputError

DEFAULT_KEY_VARIABLE: Final = "MULL_API_KEY"
"""Holds the key of servers that are no known provider's."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret that neither `repr` nor any message of ours shows."""

    secret: str = field(repr=False)
    source: str = "the caller"
    """Where it comes from: what messages name instead of it."""

    def __post_init__(self) -> None:
        if not self.secret.isascii() or not self.secret.isprintable() or not self.secret.strip():
            raise BadInputError(
                f"the key from `{self.source}` is empty or holds characters that no key has",
                hint="copy it again, without line ends",
            )

    @classmethod
    def from_environment(cls, name: str, environment: Mapping[str, str]) -> Self | None:
        """The key in variable `name`; None if it is not set or empty."""
        secret = environment.get(name, "").strip()
        return cls(secret, name) if secret else None

    def redact(self, text: str) -> str:
        """The text without the secret, for servers that repeat it in their errors."""
        return text.replace(self.secret, "***")


@dataclass(frozen=True, slots=True)
class Address:
    """`http://127.0.0.1:8000/v1#NAME`: where the API's `/v1` lies and the model asked for."""

    url: str
    """Without the fragment and a slash at the end."""
    model: str | None = None
    """None: the one that is served."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; `BadInputError` if it is no http URL or holds a password."""
        try:
            parts = urlsplit(text)
            _ = parts.port, (parts.hostname or "").encode("idna")
        except ValueError as error:
            raise BadInputError(f"`{text}` is no address: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInputError(
                f"`{text}` is no address of a server",
                hint="write it as `http://HOST:PORT/v1#MODEL`",
            )
        if parts.username or parts.password or parts.query:
            raise BadInputError(
                f"the address of `{parts.hostname}` holds more than a place",
                hint="keys come from the environment, never from the address",
            )
        url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        return cls(url, parts.fragment or None)

    @property
    def host(self) -> str:
        """The host's name."""
        return urlsplit(self.url).hostname or ""

    @property
    def root(self) -> str:
        """The server's own root, where what is not OpenAI's lies."""
        return self.url.removesuffix("/v1")

    def at(self, path: str) -> str:
        """The URL of a path of the table: `/v1/…` under the API, anything else under the root."""
        if path.startswith("/v1/"):
            return f"{self.url}{path.removeprefix('/v1')}"
        return f"{self.root}{path}"
