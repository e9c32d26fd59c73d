"""The command `mull`: flags in, data on standard output, everything else on standard error."""

from mull.cli.app import app_for, main, run

__all__ = ["app_for", "main", "run"]
