"""The command `mull`: flags in, data on standard output, everything else on standard error."""

from mull.cli.app import app, main, run

__all__ = ["app", "main", "run"]
