"""Entry point of the fork-server: makes its neighbours importable without the rest of mull."""

import sys
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).resolve().parent
_PACKAGE = "mull.verifiers.sandbox.inside"


def _name_the_packages() -> None:
    """Empty parents: importing mull itself would show more of it to programs than they need."""
    parts = _PACKAGE.split(".")
    for end in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:end]))
        module.__path__ = [str(_HERE)] if end == len(parts) else []
        sys.modules[module.__name__] = module


if __name__ == "__main__":
    _name_the_packages()
    from mull.verifiers.sandbox.inside.server import serve

    serve()
