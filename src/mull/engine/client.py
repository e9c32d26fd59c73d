"""The engine as its owner sees it: an asyncio front of a process of its own.

The worker is a plain child process, not one of `multiprocessing`, which would run the owner's main
script again to set itself up.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Connection
from threading import Thread
from typing import Final, Self, TypeVar

from mull.core.errors import BadInputError, CheckpointError, EngineError, MullError
from mull.engine.requests import (
    BLOCK,
    Ask,
    Boundary,
    Broken,
    Cancel,
    EngineSettings,
    EngineStats,
    Forget,
    Given,
    Judged,
    Judgement,
    Likelihood,
    Piece,
    Read,
    Reading,
    Ready,
    Report,
    Request,
    Submit,
    Told,
    Weigh,
    Weighed,
)

NEEDED: Final = ("torch", "llvmlite")
"""What only the worker imports."""
PATIENCE: Final = 5.0
"""Seconds a worker gets to end by itself before it is killed."""


Said = TypeVar("Said")
Message = EngineSettings | Submit | Weigh | Read | Cancel | Forget | Ask
Mail = list[Piece] | MullError


@dataclass(slots=True, eq=False)
class Flight:
    """The requests of one `generate`, and where their pieces go. The engine owns it."""

    places: dict[int, int]
    """From the numbers of requests that are not over to their places."""
    inbox: asyncio.Queue[Mail] = field(default_factory=asyncio.Queue[Mail])


class Engine:
    """Runs one model in a worker process. Bound to the event loop it was started in.

    Any number of `generate` calls may run at once; the worker batches them all.
    """

    def __init__(self, worker: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._worker = worker
        self._line = line
        self._connection = Connection(line.fileno())
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Ready] = self._loop.create_future()
        self._error: MullError | None = None
        self._flights = dict[int, Flight]()
        self._readings = dict[int, asyncio.Future[Judgement]]()
        self._texts = dict[int, asyncio.Future[Likelihood]]()
        self._asked = dict[int, asyncio.Future[EngineStats]]()
        self._numbers = count()
        # Sending waits while the worker is in a turn, so it has a thread; receiving has another.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="engine-sender")
        self._receiver = Thread(target=self._receive, name="engine-receiver", daemon=True)
        self._receiver.start()

    @classmethod
    async def start(cls, settings: EngineSettings) -> Self:
        """Start a worker and wait until it has loaded the model.

        Raises `CheckpointError` if the model's files cannot be used, `BadInputError` for settings
        without room for a single row, and `EngineError` if the worker dies or lacks a package.
        """
        for name in NEEDED:
            if find_spec(name) is None:
                raise EngineError(
                    f"the engine needs the package `{name}`, which is not installed",
                    hint="pip install 'mull[local]'",
                )
        ours, theirs = socket.socketpair()
        with theirs:
            worker = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [sys.executable, "-m", "mull.engine.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # An interrupt at the terminal is for the owner to handle.
                start_new_session=True,
            )
        engine = cls(worker, ours)
        try:
            engine._send(settings)
            _check_room(settings, await engine._ready)
        except BaseException:
            await engine.close()
            raise
        return engine

    @property
    def worker_id(self) -> int:
        """The worker's process id."""
        return self._worker.pid

    async def generate(self, requests: Sequence[Request]) -> AsyncGenerator[Piece, None]:
        """Grow all requests at once; their pieces as they come, those of one request in order.

        Ends when the last request has. Closing the generator cancels what is left. Raises
        `BadInputError` for a request that cannot be grown (nothing is started then) and
        `EngineError` if the worker dies.
        """
        ready = self._open()
        if ready.num_outputs:
            raise BadInputError("a reward model generates nothing", hint="use `score`")
        for request in requests:
            _check(request, ready)
        numbered = list(zip(self._numbers, requests, strict=False))
        flight = Flight({number: place for place, (number, _) in enumerate(numbered)})
        self._flights.update(dict.fromkeys(flight.places, flight))
        self._send(Submit(numbered))
        num_open = len(numbered)
        try:
            while num_open:
                mail = await flight.inbox.get()
                if isinstance(mail, MullError):
                    raise mail
                for piece in mail:
                    num_open -= piece.boundary.is_end
                    yield piece
        finally:
            self._abandon(flight)

    async def score(
        self, sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]]
    ) -> list[Judgement]:
        """What a reward model says at the given places (from 0) of each token sequence, in order.

        What a sequence shares with one that was read before is not read again. Raises
        `BadInputError` for what cannot be read and `EngineError` if the worker dies.
        """
        ready = self._open()
        ready = ready.judge or ready
        if not ready.num_outputs:
            raise BadInputError(
                "the engine runs a policy, which scores nothing", hint="open a reward model"
            )
        _check_reading(sequences, places, ready)
        readings = list(zip(self._numbers, map(Reading, sequences, places), strict=False))
        return await self._answers(self._readings, Read(readings), [each for each, _ in readings])

    async def likelihoods(
        self, sequences: Sequence[tuple[int, ...]], starts: Sequence[int]
    ) -> list[Likelihood]:
        """How probable a policy finds each token sequence from the token at `start` on, in order.

        What stands before is read once for all that share it. Raises `BadInputError` for what
        cannot be read and `EngineError` if the worker dies.
        """
        ready = self._open()
        if ready.num_outputs:
            raise BadInputError("a reward model gives tokens no probabilities", hint="use `score`")
        _check_reading(sequences, [(start - 1, start) for start in starts], ready)
        givens = list(zip(self._numbers, map(Given, sequences, starts), strict=False))
        return await self._answers(self._texts, Weigh(givens), [each for each, _ in givens])

    async def _answers(
        self, waiting: dict[int, asyncio.Future[Said]], asked: Message, numbers: Sequence[int]
    ) -> list[Said]:
        """Send this, and wait for an answer to each number of it."""
        futures = {number: self._loop.create_future() for number in numbers}
        waiting.update(futures)
        self._send(asked)
        try:
            return await asyncio.gather(*futures.values())
        finally:
            unread = [number for number in futures if waiting.pop(number, None)]
            if unread:
                self._send(Cancel(unread))

    async def stats(self) -> EngineStats:
        """What the worker holds now and what it has done; EngineError if it dies."""
        self._open()
        number = next(self._numbers)
        asked = self._asked[number] = self._loop.create_future()
        self._send(Ask(number))
        try:
            return await asked
        finally:
            self._asked.pop(number, None)

    def forget(self) -> None:
        """Drop what is kept of texts that are over: what is asked next is read from its start."""
        self._open()
        self._send(Forget())

    async def close(self) -> None:
        """End the worker; what is still being generated fails. Closing twice does nothing."""
        self._fail(EngineError("the engine was closed"))
        await asyncio.shield(asyncio.to_thread(self._end))

    def _open(self) -> Ready:
        """What the worker said when it was ready; raises what went wrong since."""
        if self._error is not None:
            raise self._error
        return self._ready.result()

    def _abandon(self, flight: Flight) -> None:
        if flight.places:
            self._send(Cancel(list(flight.places)))
        for number in flight.places:
            self._flights.pop(number, None)

    def _send(self, message: Message) -> None:
        if self._error is None:
            self._sender.submit(self._send_now, message)

    def _send_now(self, message: Message) -> None:
        # A line that is down is the receiver's to report.
        with suppress(OSError):
            self._connection.send(message)

    def _receive(self) -> None:
        """The receiver thread: hand every message to the event loop until the line is down."""
        message: object = None
        try:
            while not isinstance(message, Broken):
                message = self._connection.recv()
                self._loop.call_soon_threadsafe(self._take, message)
        except (EOFError, OSError):
            last = Broken(f"the engine's process ended ({self._last_state()})")
            with suppress(RuntimeError):  # nobody is left to be told once the loop is closed
                self._loop.call_soon_threadsafe(self._take, last)
        except RuntimeError:
            return

    def _last_state(self) -> str:
        try:
            return f"exit code {self._worker.wait(PATIENCE)}"
        except subprocess.TimeoutExpired:
            return "it runs on, but is out of reach"

    def _take(self, message: object) -> None:
        match message:
            case Report():
                self._deliver(message)
            case Judged(judgements):
                _resolve(self._readings, judgements)
            case Weighed(likelihoods):
                _resolve(self._texts, likelihoods)
            case Told(number, stats):
                asked = self._asked.pop(number, None)
                if asked is not None and not asked.done():
                    asked.set_result(stats)
            case Ready():
                if not self._ready.done():
                    self._ready.set_result(message)
            case Broken(text, hint, is_checkpoint):
                error = CheckpointError if is_checkpoint else EngineError
                self._fail(error(text, hint=hint))
            case _:
                self._fail(EngineError(f"the engine's process sent {message!r}"))

    def _deliver(self, report: Report) -> None:
        """Cut a report into pieces and put them where they are waited for."""
        mails = dict[Flight, list[Piece]]()
        start = 0
        for index, number in enumerate(report.numbers):
            end = start + report.counts[index]
            flight = self._flights.get(number)
            if flight is not None:  # else it was cancelled meanwhile
                boundary = _BOUNDARIES[report.boundaries[index]]
                piece = Piece(
                    flight.places[number],
                    tuple(report.token_ids[start:end]),
                    tuple(report.logprobs[start:end]),
                    boundary,
                    report.cached_tokens[index],
                    report.kv_byte_seconds[index],
                    report.discarded_tokens[index],
                    report.discarded_flops[index],
                )
                mails.setdefault(flight, []).append(piece)
                if boundary.is_end:
                    del self._flights[number], flight.places[number]
            start = end
        for flight, mail in mails.items():
            flight.inbox.put_nowait(mail)

    def _fail(self, error: MullError) -> None:
        """Nothing more will come: tell everybody who waits."""
        if self._error is not None:
            return
        self._error = error
        if not self._ready.done():
            self._ready.set_exception(error)
        for flight in set(self._flights.values()):
            flight.inbox.put_nowait(error)
        waiting = (*self._readings.values(), *self._texts.values(), *self._asked.values())
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def _end(self) -> None:
        # Both ends see the line go down: our receiver ends, and so does the worker after its turn.
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._sender.shutdown()
        try:
            self._worker.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        self._receiver.join()
        self._connection.close()
        self._line.detach()


def _resolve(waiting: dict[int, asyncio.Future[Said]], answers: list[tuple[int, Said]]) -> None:
    """Answer those who still wait."""
    for number, answer in answers:
        future = waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_result(answer)


_BOUNDARIES: Final = tuple(Boundary)


def _check_room(settings: EngineSettings, ready: Ready) -> None:
    needed = max(each.bytes_per_sequence for each in (ready, ready.judge) if each)
    if settings.max_rows < 1 or settings.max_kv_bytes < needed:
        raise BadInputError(
            f"engine settings `max_rows` {settings.max_rows} and `max_kv_bytes` "
            f"{settings.max_kv_bytes} leave no room for one row",
            hint=f"one row of this model needs {needed} bytes",
        )
    if not 1 <= settings.draft_tokens <= BLOCK:
        raise BadInputError(
            f"engine setting `draft_tokens` is {settings.draft_tokens}", hint="1 to 16"
        )


def _check_reading(
    sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]], ready: Ready
) -> None:
    """Refuse what the worker could not read."""
    if len(sequences) != len(places):
        raise BadInputError(f"{len(places)} lists of places for {len(sequences)} sequences")
    for sequence, where in zip(sequences, places, strict=True):
        if not 0 < len(sequence) <= ready.max_positions:
            raise BadInputError(
                f"a sequence of {len(sequence)} tokens cannot be scored",
                hint=f"the model reads 1 to {ready.max_positions}",
            )
        if not all(0 <= token < ready.vocab_size for token in sequence):
            raise BadInputError(f"a sequence has token ids beyond {ready.vocab_size - 1}")
        if not all(0 <= place < len(sequence) for place in where):
            raise BadInputError(f"places {where} lie outside a sequence of {len(sequence)} tokens")


def _check(request: Request, ready: Ready) -> None:
    """Refuse what the worker could not grow."""
    sampling, prompt = request.sampling, request.prompt
    holds = {
        f"prompt: 1 to {ready.max_positions - 1} tokens": 0 < len(prompt) < ready.max_positions,
        f"prompt: token ids below {ready.vocab_size}": all(
            0 <= token < ready.vocab_size for token in prompt
        ),
        "max_tokens: at least 1": request.max_tokens >= 1,
        "seed: 64 bits": 0 <= request.seed < 2**64,
        "drawn: not negative": request.drawn >= 0,
        "temperature: finite, not negative": 0.0 <= sampling.temperature < float("inf"),
        "top_k: at least 1, or none": sampling.top_k is None or sampling.top_k >= 1,
        "top_p: above 0, at most 1": 0.0 < sampling.top_p <= 1.0,
        "min_p: 0 to 1": 0.0 <= sampling.min_p <= 1.0,
    }
    for rule, is_kept in holds.items():
        if not is_kept:
            name = rule.split(":")[0]
            value = getattr(request, name, None) or getattr(sampling, name, None)
            raise BadInputError(f"request `{name}` is {value}; the rule is {rule}")
