"""Spans for OpenTelemetry, by its conventions for generative AI. Imported only where asked for.

    invoke_agent STRATEGY       a solve
      chat MODEL                a call of its model, from its turn in the queue to its end
      execute_tool VERIFIER     what a verifier is asked at once

A plain request that goes straight through is a `chat` span of its own. Spans hold names and counts:
no text of a request, an answer or an error, no key and no address is ever in one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from threading import Thread

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from mull import __version__
from mull.build import OpenModel
from mull.build.telemetry import Telemetry
from mull.core.events import StopReason
from mull.core.expansion import BranchId, Call, Delta, Failed, NodeId, Outcome
from mull.core.protocols import Capabilities, Policy, Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.solution import Solution
from mull.core.steps import Trajectory
from mull.core.usage import Usage

_JOIN = TraceContextTextMapPropagator()
_LAST_SECONDS = 5.0
"""For spans not sent yet when the server ends."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where this server's spans go. Owned by its gateway."""

    provider: TracerProvider
    tracer: Tracer

    @classmethod
    def to(cls, telemetry: Telemetry) -> "Tracing":
        """Spans are sent in the background; what a collector does not take is dropped."""
        told = {"service.name": telemetry.service, "service.version": __version__}
        provider = TracerProvider(resource=Resource.create(told), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(telemetry.endpoint)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, provider.get_tracer("mull", __version__))

    async def close(self) -> None:
        """Send what is there, within some seconds.

        A collector that does not answer is asked again for as long as a minute, which nobody waits
        for: the thread that does ends with the process.
        """
        last = Thread(target=self.provider.shutdown, name="last-spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, _LAST_SECONDS)

    def join(self, headers: Mapping[str, str]) -> None:
        """What this task does belongs to the caller's trace, if the request names one."""
        if "traceparent" in headers:
            contexts.attach(_JOIN.extract(headers))

    def solve(self, name: str, model: OpenModel, strategy: str, solve_id: str) -> "SolveSpan":
        """A solve begins."""
        told = {**_told_of(name, model), "gen_ai.agent.name": strategy, "mull.solve_id": solve_id}
        span = _started(self.tracer, "invoke_agent", strategy, told)
        return SolveSpan(self.tracer, span, set_span_in_context(span), name, model)

    async def passed(
        self,
        work: Coroutine[object, object, None],
        name: str,
        model: OpenModel,
        spent: Callable[[], Usage],
    ) -> None:
        """A plain request's way through, which is one call."""
        span = _started(self.tracer, "chat", name, _told_of(name, model), kind=SpanKind.CLIENT)
        try:
            await work
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise
        finally:
            span.set_attributes(_counted(spent()))
            span.end()


@dataclass(frozen=True, slots=True)
class SolveSpan:
    """A solve's span, and the parent of others. Owned by its `Live`."""

    tracer: Tracer
    span: Span
    context: Context
    name: str
    """The model's, as it is served."""
    model: OpenModel

    def policy(self, policy: Policy) -> Policy:
        """The policy, whose calls are spans."""
        return TracedPolicy(policy, self)

    def verifiers(self, verifiers: Sequence[Verifier]) -> Sequence[Verifier]:
        """The verifiers; asking one is a span."""
        return tuple(TracedVerifier(each, self) for each in verifiers)

    def call(self, call: Call) -> Span:
        """A call is made."""
        sampling = call.branch.expansion.sampling
        told = {
            **_told_of(self.name, self.model),
            "gen_ai.request.max_tokens": call.max_tokens,
            "gen_ai.request.temperature": sampling.temperature,
            "mull.expansion": call.branch.expansion.kind.value,
        }
        return _started(
            self.tracer, "chat", self.name, told, kind=SpanKind.CLIENT, context=self.context
        )

    def end(self, solution: Solution | None) -> None:
        """The solve is over here; None: it did not come to its end."""
        if solution is None:
            _fail(self.span, "interrupted")
        else:
            self.span.set_attributes(_counted(solution.usage))
            self.span.set_attribute("mull.stop", solution.stop.value)
            self.span.set_attribute("mull.calls", solution.usage.calls)
            if solution.stop is StopReason.FAILED:
                _fail(self.span, "failed")
        self.span.end()


@dataclass(slots=True)
class _OpenCall:
    """A call under way. Its `expand` owns it."""

    span: Span
    started: float = field(default_factory=time.perf_counter)
    has_begun: bool = False
    spent: Usage = Usage()

    def take(self, outcome: Outcome) -> bool:
        """Count what came of it; True if it is over."""
        says_nothing = isinstance(outcome, Delta) and not outcome.text
        if not self.has_begun and not says_nothing:
            self.has_begun = True
            seconds = time.perf_counter() - self.started
            self.span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        if isinstance(outcome, Delta):
            return False
        self.spent += outcome.usage
        if isinstance(outcome, Failed):
            self.end("retryable" if outcome.retryable else "failed")
            return True
        if outcome.finish is None:
            return False
        self.span.set_attribute("gen_ai.response.finish_reasons", [outcome.finish.value])
        self.end()
        return True

    def end(self, failure: str | None = None) -> None:
        """It is over."""
        self.span.set_attributes(_counted(self.spent))
        if failure is not None:
            _fail(self.span, failure)
        self.span.end()


@dataclass(frozen=True, slots=True)
class TracedPolicy:
    """The same policy; every call of it is a span below its solve's."""

    policy: Policy
    solve: SolveSpan

    @property
    def capabilities(self) -> Capabilities:
        """Those of the policy."""
        return self.policy.capabilities

    def quote(self, call: Call) -> Usage:
        """That of the policy."""
        return self.policy.quote(call)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Passed on."""
        await self.policy.release(node_ids)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """What the policy gives."""
        flights: dict[BranchId, _OpenCall] = {
            call.branch.id: _OpenCall(self.solve.call(call)) for call in calls
        }
        failure = "cancelled"
        try:
            async with aclosing(self.policy.expand(calls)) as outcomes:
                async for outcome in outcomes:
                    flight = flights.get(outcome.branch_id)
                    if flight is not None and flight.take(outcome):
                        del flights[outcome.branch_id]
                    yield outcome
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            for flight in flights.values():
                flight.end(failure)


@dataclass(frozen=True, slots=True)
class TracedVerifier:
    """The same verifier; asking it is a span below its solve's."""

    verifier: Verifier
    solve: SolveSpan

    @property
    def source(self) -> Source:
        """That of the verifier."""
        return self.verifier.source

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """That of the verifier."""
        return self.verifier.quote(trajectories)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """What the verifier says."""
        name, solve = self.source.verifier, self.solve
        told: dict[str, AttributeValue] = {"gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
        span = _started(solve.tracer, "execute_tool", name, told, context=solve.context)
        try:
            scores = await self.verifier.score(trajectories)
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise
        else:
            verdicts = [each.verdict for each in scores]
            counts = {f"mull.verdicts.{each.value}": verdicts.count(each) for each in Verdict}
            span.set_attributes(counts)
            return scores
        finally:
            span.end()


def _started(
    tracer: Tracer,
    operation: str,
    of: str,
    told: Mapping[str, AttributeValue],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
) -> Span:
    attributes = {"gen_ai.operation.name": operation, **told}
    return tracer.start_span(f"{operation} {of}", context, kind, attributes)


def _told_of(name: str, model: OpenModel) -> dict[str, AttributeValue]:
    """Which model it is, and whose."""
    whose, _, which = model.policy.capabilities.model.partition(":")
    return {
        "gen_ai.provider.name": _provider(model.spec.name, whose),
        "gen_ai.request.model": name,
        "gen_ai.response.model": which or whose,
    }


def _provider(scheme: str, whose: str) -> str:
    """As the conventions spell it, where they know it."""
    match scheme:
        case "openai":  # what was found at the address, and how it is talked to
            dialect = whose.partition("/")[0]
            return "_OTHER" if dialect == "other" else dialect
        case "gemini":
            return "gcp.gemini"
        case "local":
            return "mull"
        case _:
            return scheme


def _counted(usage: Usage) -> dict[str, AttributeValue]:
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.written_tokens,
        "gen_ai.usage.output_tokens": usage.generated_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.hidden_tokens,
        "mull.money_usd": usage.money_usd,
    }


def _fail(span: Span, kind: str) -> None:
    """What kind of failure it was; its message may repeat what was asked."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
