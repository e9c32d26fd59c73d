"""How the command line ends: exit codes, and errors in two lines."""

from enum import IntEnum

from mull.cli.output import say
from mull.core.errors import BadInputError, MullError, StoreError
from mull.core.events import StopReason
from mull.core.solution import Solution


class ExitCode(IntEnum):
    """What a script can tell from `$?`."""

    OK = 0
    """An answer was given, or the command did its work."""
    NO_ANSWER = 1
    """The search ended honestly without an answer."""
    BAD_INPUT = 2
    """Something must be put right first: an argument, a checkpoint, the journal, the disk."""
    FAILURE = 3
    """The model, a verifier or mull itself failed."""
    UNKNOWN = 4
    """A checker cannot say: the verdict is neither accept nor reject."""
    INTERRUPTED = 130
    """Ctrl-C; what was journalled can be resumed."""


def exit_code_of(error: MullError) -> ExitCode:
    """The code of an error that ends a command."""
    if isinstance(error, (BadInputError, StoreError)):
        return ExitCode.BAD_INPUT
    return ExitCode.FAILURE


def exit_code_for(solution: Solution) -> ExitCode:
    """The code of a solve that ended."""
    if solution.stop is StopReason.FAILED:
        return ExitCode.FAILURE
    return ExitCode.NO_ANSWER if solution.answer is None else ExitCode.OK


def say_error(message: str, hint: str | None = None) -> None:
    """One line for what is wrong, and one for what to do about it where that is known."""
    say(f"error: {message}", style="bold red")
    if hint:
        say(f"hint: {hint}", style="yellow")
