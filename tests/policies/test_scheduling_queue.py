"""The queue of calls, without a clock."""

import random
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mull.policies.scheduling import CallQueue, Program, Ticket, Tier
from mull.policies.scheduling.queue import LAG, LEAD, MAX_LAG, PATIENCE


def finished(queue: CallQueue, ticket: Ticket, tokens: float) -> None:
    queue.deliver(ticket, tokens)
    queue.finish(ticket)


def drained(queue: CallQueue, running: Sequence[Ticket], tokens: float = 100) -> list[Program]:
    """Whose calls start, one after another, when every call takes so many tokens."""
    going, order = list(running), list[Program]()
    while going:
        finished(queue, going.pop(0), tokens)
        started = queue.dispatch()
        order += [ticket.program for ticket in started]
        going += started
    return order


def test_a_short_request_passes_a_long_one_that_has_been_served() -> None:
    queue = CallQueue(slots=2)
    long, short = queue.program("a"), queue.program("a")
    for _ in range(64):
        queue.submit(long, 1000)
    running = queue.dispatch()
    queue.submit(short, 1000)
    assert drained(queue, running)[0] is short


def test_of_two_tenants_with_enough_to_do_each_gets_half() -> None:
    queue = CallQueue(slots=4)
    many = [queue.program("many") for _ in range(20)]
    one = queue.program("one")
    for program in many:
        for _ in range(10):
            queue.submit(program, 100)
    for _ in range(100):
        queue.submit(one, 100)
    order = drained(queue, queue.dispatch(), 2000)
    share = sum(program is one for program in order[:100])
    assert 45 <= share <= 55


def test_who_was_away_has_saved_nothing_up() -> None:
    queue = CallQueue(slots=1)
    here, away = queue.program("here"), queue.program("away")
    for _ in range(50):
        queue.submit(here, 100)
    running = queue.dispatch()
    for _ in range(20):
        finished(queue, running[0], 100)
        running = queue.dispatch()
    for _ in range(20):
        queue.submit(away, 100)
    order = drained(queue, running, 4000)
    assert sum(program is away for program in order[:10]) <= 6


def test_a_higher_tier_gets_more_of_the_same_tenant() -> None:
    queue = CallQueue(slots=1)
    batch, standard = queue.program("a", Tier.BATCH), queue.program("a", Tier.STANDARD)
    for _ in range(40):
        queue.submit(batch, 100)
        queue.submit(standard, 100)
    order = drained(queue, queue.dispatch())
    assert sum(program is standard for program in order[:30]) > 18


def test_interactive_calls_find_a_slot_that_others_may_not_take() -> None:
    queue = CallQueue(slots=4, num_reserved=1)
    search, chat = queue.program("a"), queue.program("b", Tier.INTERACTIVE)
    for _ in range(10):
        queue.submit(search, 100)
    assert len(queue.dispatch()) == 3
    queue.submit(chat, 100)
    (ticket,) = queue.dispatch()
    assert ticket.program is chat


def test_a_long_search_gets_its_part_however_many_short_ones_come() -> None:
    queue = CallQueue(slots=1)
    long = queue.program("a")
    for _ in range(60):
        queue.submit(long, 100)
    running, turns = queue.dispatch(), 0
    queue.submit(queue.program("a"), 100)
    for _ in range(300):
        queue.submit(queue.program("a"), 100)
        finished(queue, running[0], 100)
        running = queue.dispatch()
        turns += running[0].program is long
    assert turns >= 6
    queue.check()


def test_a_queue_forgets_solves_that_have_ended() -> None:
    queue = CallQueue(slots=1)
    busy = queue.program("a", Tier.INTERACTIVE)
    queue.submit(busy, 10)
    queue.dispatch()
    for _ in range(2000):
        queue.withdraw(queue.submit(queue.program("a", Tier.INTERACTIVE), 10))
    assert max(len(heap) for heap in (queue._fast, queue._tenants["a"].ready)) <= 100  # pyright: ignore[reportPrivateUsage]
    queue.check()


def test_a_withdrawn_call_never_starts() -> None:
    queue = CallQueue(slots=1)
    program = queue.program("a")
    tickets = [queue.submit(program, 10) for _ in range(3)]
    queue.dispatch()
    queue.withdraw(tickets[1])
    finished(queue, tickets[0], 5)
    assert queue.dispatch() == [tickets[2]]
    assert queue.num_waiting == 0


def test_a_running_call_gives_way_to_a_solve_that_has_had_less() -> None:
    queue = CallQueue(slots=1)
    long, short = queue.program("a"), queue.program("a")
    queue.submit(long, 1000)
    (running,) = queue.dispatch()
    queue.deliver(running, 500)
    assert not queue.gives_way(running), "nobody waits"
    waiting = queue.submit(short, 1000)
    assert queue.gives_way(running)
    queue.pause(running)
    assert queue.dispatch() == [waiting]
    queue.deliver(waiting, 40)
    assert not queue.gives_way(waiting), "the other has had more"
    queue.finish(waiting)
    assert queue.dispatch() == [running], "it goes on"
    queue.check()


def test_a_chat_takes_the_place_of_a_search_and_no_search_that_of_a_chat() -> None:
    queue = CallQueue(slots=1)
    search, chat = queue.program("a"), queue.program("a", Tier.INTERACTIVE)
    queue.submit(search, 1000)
    (searching,) = queue.dispatch()
    queue.deliver(searching, 300)
    queue.submit(chat, 1000)
    assert queue.gives_way(searching)
    queue.pause(searching)
    (chatting,) = queue.dispatch()
    assert chatting.program is chat
    queue.deliver(chatting, 300)
    assert not queue.gives_way(chatting), "a token of it counts a quarter"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, float]]:
    steps = st.tuples(
        st.sampled_from(["submit", "finish", "withdraw", "deliver", "pause"]),
        st.integers(0, 11),
        st.floats(0, 2000),
    )
    return draw(st.lists(steps, max_size=120))


@given(histories(), st.integers(1, 6), st.integers(0, 2))
def test_no_history_loses_a_call_or_overfills_the_slots(
    history: list[tuple[str, int, float]], slots: int, reserved: int
) -> None:
    queue = CallQueue(slots=slots, num_reserved=min(reserved, slots - 1))
    tiers = list(Tier)
    programs = [queue.program("abc"[i % 3], tiers[i // 4]) for i in range(12)]
    delivered = dict.fromkeys(programs, 0.0)
    waiting, running, num_started, num_submitted = list[Ticket](), list[Ticket](), 0, 0
    for what, index, tokens in history:
        if what == "submit":
            waiting.append(queue.submit(programs[index], 500))
            num_submitted += 1
        elif what == "withdraw" and waiting:
            queue.withdraw(waiting.pop(index % len(waiting)))
            num_submitted -= 1
        elif what == "deliver" and running:
            ticket = running[index % len(running)]
            queue.deliver(ticket, tokens)
            delivered[ticket.program] += tokens
        elif what == "finish" and running:
            queue.finish(running.pop(index % len(running)))
        elif what == "pause" and running:
            waiting.append(running.pop(index % len(running)))
            queue.pause(waiting[-1])
            num_submitted += 1
        started = queue.dispatch()
        assert len(set(started)) == len(started)
        assert set(started) <= set(waiting)
        waiting = [each for each in waiting if each not in started]
        running += started
        num_started += len(started)
        queue.check()
        assert queue.num_running == len(running)
    while running:
        queue.finish(running.pop())
        started = queue.dispatch()
        running += started
        num_started += len(started)
    assert num_started == num_submitted
    for program in programs:  # nothing runs, so nothing is expected any more
        assert abs(program.service - delivered[program]) < 1e-6 * (1 + program.service)


@given(st.lists(st.integers(5, 8), min_size=2, max_size=8), st.integers(1, 4))
def test_nobody_falls_far_below_an_equal_share(widths: list[int], slots: int) -> None:
    """Every program always has calls waiting; whole calls are what cannot be divided."""
    queue = CallQueue(slots=slots)
    programs = [queue.program("a") for _ in widths]
    for program, width in zip(programs, widths, strict=True):
        for _ in range(width):
            queue.submit(program, 100)
    running = queue.dispatch()
    for _ in range(300):
        ticket = running.pop(0)
        finished(queue, ticket, 100)
        queue.submit(ticket.program, 100)
        running += queue.dispatch()
    slack = PATIENCE + 200 * (slots + len(programs))
    for program in programs:
        fair = sum(each.service for each in programs) / len(programs)
        assert (1 + LAG) * program.service + slack >= fair


@pytest.mark.parametrize(("kind", "gives_way"), [("two", False), ("", True)])
def test_a_solve_that_is_nearly_done_keeps_its_place(kind: str, *, gives_way: bool) -> None:
    queue = CallQueue(slots=2)
    known = queue.program("a", kind="two")
    for _ in range(2):
        queue.submit(known, 1000)
    for ticket in queue.dispatch():
        finished(queue, ticket, 1000)
    queue.close(known)
    old, young = queue.program("a", kind=kind), queue.program("a")
    queue.submit(old, 1000)
    finished(queue, queue.dispatch()[0], 1000)
    queue.submit(old, 1000)
    (last,) = queue.dispatch()
    queue.submit(young, 1000)
    (first,) = queue.dispatch()
    queue.deliver(last, 900)
    queue.deliver(first, 500)
    queue.pause(first)
    assert queue.gives_way(last) is gives_way


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_no_tenant_that_waits_is_left_far_behind(seed: int, slots: int) -> None:
    queue = CallQueue(slots=slots)
    sizes = random.Random(seed).choices(range(1, 400), k=200)
    running, old = list[Ticket](), queue.program("old")
    for size in sizes:  # one tenant's solves are always young, the other's has had ever more
        queue.submit(queue.program("young"), 400)
        queue.submit(old, 400)
        running += queue.dispatch()
        finished(queue, running.pop(0), size)
    young, old_one = (queue._tenants[name].service for name in ("young", "old"))  # pyright: ignore[reportPrivateUsage]
    assert abs(young - old_one) <= LEAD + 400 * slots


def test_a_long_search_is_never_further_behind_than_is_said() -> None:
    queue = CallQueue(slots=1)
    long = queue.program("a")
    queue.submit(long, 100)
    running, tenant = queue.dispatch(), queue._tenants["a"]  # pyright: ignore[reportPrivateUsage]
    for _ in range(3500):
        while queue.num_waiting < 4:
            queue.submit(queue.program("a"), 100)
        queue.submit(long, 100)
        finished(queue, running.pop(), 100)
        running = queue.dispatch()
        assert tenant.shared - long.service <= MAX_LAG + 500
    assert tenant.shared > 1.5 * MAX_LAG


def test_kinds_of_solves_are_forgotten_the_oldest_first() -> None:
    queue = CallQueue(slots=1)
    for number in range(1100):
        program = queue.program("a", kind=str(number))
        queue.submit(program, 10)
        finished(queue, queue.dispatch()[0], 10)
        queue.close(program)
    assert queue.program("a", kind="1099").num_calls == 1
    assert queue.program("a", kind="0").num_calls == 0
