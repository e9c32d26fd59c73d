"""What Prometheus reads: quality with latency by difficulty, spending, queues."""

from dataclasses import dataclass, field, fields
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mull.core.events import StopReason
from mull.core.score import Verdict
from mull.core.solution import Solution
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Limit, Usage, amount
from mull.engine import EngineStats
from mull.policies.scheduling import Ticket

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
TOKENS: Final = (64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576)
RATIOS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
SLOWDOWNS: Final = (1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100)
_AXES: Final = (Limit.TOKENS, Limit.SECONDS, Limit.MONEY_USD)


def band_of(tree: SearchTree) -> str:
    """How hard a problem was for its model, by what the checked answers came to.

    `easy` where at least three quarters were accepted, `hard` where at most a quarter was, `medium`
    between, `unknown` where nobody could judge.
    """
    verdicts = [
        score.verdict
        for node in tree.finished()
        for score in tree.scores(node.id)
        if score.verdict is not Verdict.UNKNOWN
    ]
    if not verdicts:
        return "unknown"
    share = verdicts.count(Verdict.ACCEPT) / len(verdicts)
    if share >= 0.75:
        return "easy"
    return "hard" if share <= 0.25 else "medium"


def quality_of(solution: Solution) -> str:
    """`verified`, `unverified`, `none` or `failed`."""
    if solution.stop is StopReason.FAILED:
        return "failed"
    if solution.answer is None:
        return "none"
    scores = [
        score.verdict
        for node in solution.tree.finished()
        if solution.tree.trajectory(node.id) == solution.trajectory
        for score in solution.tree.scores(node.id)
    ]
    return "verified" if Verdict.ACCEPT in scores else "unverified"


@dataclass(slots=True)
class Metrics:
    """The counters of one server, which owns them. Nothing in them tells tenants apart."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    request_seconds: Histogram = field(init=False)
    first_text: Histogram = field(init=False)
    solves: Counter = field(init=False)
    solve_seconds: Histogram = field(init=False)
    solve_tokens: Histogram = field(init=False)
    tokens: Counter = field(init=False)
    money: Counter = field(init=False)
    budget_used: Histogram = field(init=False)
    verdicts: Counter = field(init=False)
    slowdown: Histogram = field(init=False)
    calls: Gauge = field(init=False)
    engine: Gauge = field(init=False)
    engine_up: Gauge = field(init=False)

    def __post_init__(self) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"mull_{name}", what, labels, registry=self.registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"mull_{name}", what, labels, registry=self.registry, buckets=buckets)

        self.requests = counter("requests", "Requests answered.", "path", "status")
        self.request_seconds = histogram(
            "request_seconds", "From a request's first byte to its answer's last.", SECONDS, "path"
        )
        self.first_text = histogram(
            "first_text_seconds",
            "From a request's first byte to the first text of a streamed answer, past thoughts.",
            SECONDS,
            "path",
        )
        self.solves = counter("solves", "Solves that ended.", "model", "strategy", "stop")
        self.solve_seconds = histogram(
            "solve_seconds",
            "Latency of solves with the quality they came to, by how hard the problem was.",
            SECONDS,
            "band",
            "quality",
        )
        self.solve_tokens = histogram(
            "solve_tokens",
            "Generated tokens of one solve, hidden ones included.",
            TOKENS,
            "model",
            "strategy",
        )
        self.tokens = counter("tokens", "Tokens, by what they were for.", "model", "kind")
        self.money = counter("money_usd", "US dollars spent.", "model")
        self.budget_used = histogram(
            "budget_used_ratio", "Spent of a request's own budget.", RATIOS, "axis"
        )
        self.verdicts = counter("verdicts", "What verifiers said.", "verifier", "verdict")
        self.slowdown = histogram(
            "call_slowdown",
            "A call's waiting and running time over its running time.",
            SLOWDOWNS,
            "tier",
        )
        self.calls = Gauge("mull_calls", "Calls now.", ("model", "state"), registry=self.registry)

        self.engine = Gauge(
            "mull_engine",
            "A local model's engine: key-value blocks, and what it has done since its start.",
            ("model", "what"),
            registry=self.registry,
        )

        self.engine_up = Gauge(
            "mull_engine_up",
            "Whether a local model's engine says how it is.",
            ("model",),
            registry=self.registry,
        )

    def miss_engine(self, model: str) -> None:
        """An engine was asked and did not say."""
        self.engine_up.labels(model).set(0)

    def observe_engine(self, model: str, stats: EngineStats) -> None:
        """An engine was asked."""
        self.engine_up.labels(model).set(1)
        derived = ("hit_rate", "rows_a_turn", "tokens_per_second")
        for name in (*(each.name for each in fields(stats)), *derived):
            self.engine.labels(model, name).set(getattr(stats, name))

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests.labels(path, str(status)).inc()
        self.request_seconds.labels(path).observe(seconds)

    def observe_solve(self, solution: Solution, budget: Budget, strategy: str) -> None:
        """A solve has ended here."""
        usage, tree = solution.usage, solution.tree
        model = tree.model
        self.solves.labels(model, strategy, solution.stop.value).inc()
        self.solve_seconds.labels(band_of(tree), quality_of(solution)).observe(usage.seconds)
        self.solve_tokens.labels(model, strategy).observe(usage.generated_tokens)
        self.observe_usage(model, usage)
        for axis in _AXES:
            if (cap := budget.cap(axis)) is not None:
                self.budget_used.labels(axis.value).observe(amount(usage, axis) / cap)
        for node in tree.finished():
            for score in tree.scores(node.id):
                self.verdicts.labels(str(score.source), score.verdict.value).inc()

    def observe_usage(self, model: str, usage: Usage) -> None:
        """Something was spent."""
        for kind in ("prompt", "cached", "visible", "hidden", "verifier", "discarded"):
            self.tokens.labels(model, kind).inc(getattr(usage, f"{kind}_tokens"))
        self.money.labels(model).inc(usage.money_usd)

    def observe_call(self, ticket: Ticket, waited: float, ran: float) -> None:
        """A queued call has ended."""
        if ran > 0:
            self.slowdown.labels(ticket.program.tier.value).observe((waited + ran) / ran)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
