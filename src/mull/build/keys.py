"""Which key may go where: to places that the user named, and nowhere because a journal says so.

A provider's own variable is read for that provider's own hosts alone, so it needs no permission.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass

from mull.core.errors import BadInputError


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key that a model or verifier sends to a place of somebody's choice."""

    variable: str
    """Environment variable that holds it."""
    url: str


def check_foreign_use(use: KeyUse | None, known: Collection[KeyUse], option: str) -> None:
    """Refuse what a journal would have sent; `option` says how the user names the place.

    A variable that is not set holds nothing that could be sent.
    """
    if use is None or use in known or not os.environ.get(use.variable, "").strip():
        return
    raise BadInputError(
        f"the journal asks for the key in `{use.variable}` to be sent to `{use.url}`",
        hint=f"if that is right, say so: `{option}`, or name that place with its key in "
        "`mull.toml`",
    )
