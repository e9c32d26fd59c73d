"""Who is next: no call, however large, holds up another by more than one request."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from toy_batches import batch_of, pieces

from mull.engine.requests import Request
from mull.engine.waiting import WaitingLine

HEAVIEST = 64


def request(weight: int) -> Request:
    return Request((1,), 0, weight - 1)


@given(st.lists(st.lists(st.integers(2, HEAVIEST), min_size=1), min_size=2, max_size=6))
def test_calls_that_all_wait_are_served_alike(calls: list[list[int]]) -> None:
    line, owner = WaitingLine[Request](), dict[int, int]()
    for call, weights in enumerate(calls):
        numbers = range(1000 * call, 1000 * call + len(weights))
        owner |= dict.fromkeys(numbers, call)
        line.add(zip(numbers, map(request, weights), strict=True))
    left, served = Counter(owner.values()), Counter[int]()
    while line:
        first = line.first()
        assert first is not None
        call = owner[line.take()]
        served[call] += first.weight
        left[call] -= 1
        waiting = [each for each in left if left[each]]
        if len(waiting) == len(calls):
            assert max(served.values()) - min(served[each] for each in waiting) <= HEAVIEST
    assert not len(line)


def test_solves_that_come_later_end_while_a_large_one_goes_on() -> None:
    """A hundred branches of one solve are there first; twenty solves of one branch come then."""
    batch, turn, over = batch_of(4), 0, dict[int, int]()
    batch.add((number, Request((4, 300), number, 8)) for number in range(100))
    while batch.is_busy:
        if turn == 3:
            for number in range(100, 120):
                batch.add([(number, Request((4, 301), number, 8))])
        report = batch.turn()
        turn += 1
        for number, piece in pieces(report) if report else ():
            if piece.boundaries[-1].is_end:
                over[number] = turn
    assert len(over) == 120
    last = max(over[number] for number in range(100, 120))
    assert last < turn / 2
    # None of the small ones waited for all the others: the large one gets its share between them.
    assert sum(over[number] <= last for number in range(100)) >= 4
