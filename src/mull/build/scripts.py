"""Scripted replies from a file: mull without a model, for trying things out and for tests.

    {"replies": {"STATEMENT": ["first sample's reply", "second's"]}, "seconds_per_step": 0.1}

Sample number i of a problem gets its reply number i, around and around.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mull.core.codec import DecodeError, decode, parse_json
from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.expansion import Call
from mull.policies.scripted import Reply, Script, ScriptedPolicy, by_sample


@dataclass(frozen=True, slots=True)
class ReplyFile:
    """The content of a reply file."""

    replies: Mapping[str, tuple[str, ...]]
    seconds_per_step: float = 0.0


def read_script(file: str) -> ScriptedPolicy:
    """The policy a reply file scripts; `BadInputError` if it cannot be read."""
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
        script = decode(ReplyFile, parse_json(text))
    except OSError as error:
        raise BadInputError(f"cannot read the replies `{path}`: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise BadInputError(f"`{path}` holds no scripted replies: {error}") from error
    if not all(script.replies.values()):
        raise BadInputError(f"`{path}` has a statement without replies")
    return ScriptedPolicy(
        _replies(script),
        delay=lambda call, index: script.seconds_per_step,  # noqa: ARG005  (the seam's signature)
        model=f"scripted@{content_digest(text)}",
    )


def _replies(script: ReplyFile) -> Script:
    known = by_sample(script.replies)

    def reply_to(call: Call) -> Reply | str:
        statement = call.bases[0].problem.statement
        if statement not in script.replies:
            raise BadInputError(f"the scripted replies have none to `{statement}`")
        return known(call)

    return reply_to
