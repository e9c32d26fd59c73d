"""A skipped check is not a passed one: a skip that `skips.txt` does not list fails the run."""

import signal
from pathlib import Path

import pytest

LISTED = frozenset(
    line
    for line in (Path(__file__).parent / "skips.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


class UnlistedSkips:
    """Collects what was skipped without leave."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or not isinstance(report.longrepr, tuple):
            return
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not any(reason.startswith(listed) for listed in LISTED):
            self.found.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.found:
            terminalreporter.write_line(f"not in tests/skips.txt: {line}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(UnlistedSkips(), "unlisted-skips")
