"""Foreign JSON to typed values; what does not fit is refused by the name of its field."""

import re
from typing import Final, TypeVar

import msgspec

from mull.server.errors import ApiError

T = TypeVar("T")

_PLACE: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"unknown field `(?P<name>[^`]*)`")
_SHOWN: Final = 300


def decoded(kind: type[T], data: bytes | msgspec.Raw, *, at: str = "") -> T:
    """The value that JSON text encodes. `at` is where it stands in the request."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _refusal(error, at) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply", code="invalid_json") from None


def from_words(kind: type[T], words: object, *, at: str = "") -> T:
    """The value that plain data of strings stands for, as headers hold it."""
    try:
        return msgspec.convert(words, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(error, at) from None


def _refusal(error: msgspec.ValidationError, at: str) -> ApiError:
    text = str(error)
    place = _PLACE.search(text)
    path = place["path"].removeprefix(".") if place else ""
    param = ".".join(part for part in (at, path) if part).replace(".[", "[")
    what = _PLACE.sub("", text)
    if unknown := _UNKNOWN.search(what):
        param = ".".join(part for part in (param, unknown["name"]) if part)
        what = "this server knows no such field"
    message = f"`{param}`: {what}" if param else what
    return ApiError(400, message[:_SHOWN], param=param[:_SHOWN] or None, code="invalid_value")
