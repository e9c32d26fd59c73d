"""Each step-by-step search on a world small enough to work it out by hand.

The tables are the working. Beside each trace stand variants that are wrong in one formula, and
the traces they leave instead: were ours wrong in that way, the golden trace would say so.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.worlds import World, last_letter, play, state_after_last, table

from mull.core.aggregation import Aggregation
from mull.core.protocols import Strategy
from mull.search.beam import Beam
from mull.search.best_first import BestFirst
from mull.search.dvts import Dvts
from mull.search.judges import Judges
from mull.search.levels import Place
from mull.search.mcts import Edge, Mcts, Rule, puct, uct
from mull.search.particles import Particles, Resampling, multinomial, systematic, uniforms
from mull.search.places import Evaluation
from mull.search.rebase import Rebase, largest_remainder, softmax
from mull.search.selection import Combine
from mull.search.steps import Stepwise
from mull.search.tot_bfs import TotBfs
from mull.search.tot_dfs import TotDfs

GUIDE = Judges("guide")

STEPS = {
    "": "abcd",
    **dict.fromkeys("abcd", "xyz"),
    **{first + second: "XYZ" for first in "abcd" for second in "xyz"},
}
VALUES = table(
    "a .9  b .7  c .5  d .1   ax .6  ay .5  az .1   bx .8  by .2  bz .3   cx .4  cy .3  cz .2"
    " axX .5  axY .3  axZ .1   bxX .4  bxY .7  bxZ .2   bzX .1  bzY .2  bzZ .3"
    " ayX .2  ayY .1  ayZ .9   cxX .6  cxY .5  cxZ .1   azX .1  azY .1  azZ .1"
)
WORLD = World(STEPS, VALUES)


async def story(strategy: Strategy, world: World = WORLD) -> list[str]:
    return (await play(world, strategy)).story


# Beam


async def test_beam_by_hand() -> None:
    """width 2, expansion 2: 4 steps a level, the best 2 go on, the best first.

    level 1: a .9  b .7  c .5  d .1          keep a b
    level 2: ax .6  ay .5  bx .8  by .2      keep bx ax
    level 3: bxX .4  bxY .7  axX .5  axY .3  weights X .9, Y 1.0
    """
    beam = Beam(GUIDE, width=2, expansion=2, answer_key=last_letter)
    played = await play(WORLD, beam)
    assert played.story == [
        "grow .4",
        "score a b c d",
        "grow a2 b2; drop c d",
        "score ax ay bx by",
        "grow bx2 ax2; drop ay by",
        "score bxX bxY axX axY",
    ]
    assert (played.solution.answer or "").endswith("Y")
    assert played.solution.notes == ("weight 1 of 1.9 in 2 answers", "by `guide`")


async def test_a_tapered_beam_by_hand() -> None:
    """Draw 4, keep 1; draw 3, keep 2; complete both greedily.

    level 1: a .9  b .7  c .5  d .1   keep a
    level 2: ax .6  ay .5  az .1      keep ax ay
    then:    ax -> axX, ay -> ayX
    """
    beam = Beam(GUIDE, shape="4:1,3:2,finish")
    expected = [
        "grow .4",
        "score a b c d",
        "grow a3; drop b c d",
        "score ax ay az",
        "grow ax> ay>; drop az",
        "score axX ayX",
    ]
    assert await story(beam) == expected
    for wrong in ("4:2,3:1,finish", "4:1,2:2,finish", "3:1,3:2,finish", "4:1,3:2", "4:1,3:2,1:1"):
        assert await story(replace(beam, shape=wrong)) != expected


async def test_a_uniform_beam_is_a_taper_that_repeats() -> None:
    uniform = await story(Beam(GUIDE, width=2, expansion=2))
    assert uniform == await story(Beam(GUIDE, shape="4:2,2:2"))
    assert uniform != await story(Beam(GUIDE, shape="2:2,2:2"))


async def test_equal_states_share_one_place_and_no_survivor_is_copied() -> None:
    """Paths are equal that end in the same letter: of ax ay bx by, x is reached twice.

    level 2: x (ax .6, also bx), y (ay .5, also by)   bx and by are neither valued nor grown
    a beam that copied survivors, or kept both, would grow bx
    """
    beam = Beam(GUIDE, width=4, expansion=2, shape="2:2,2:4", state_key=state_after_last)
    assert (await story(beam))[3:5] == ["score ax ay", "grow ax2 ay2; drop b bx by"]
    assert (await story(replace(beam, state_key=no_merging)))[3:5] == [
        "score ax ay bx by",
        "grow bx2 ax2 ay2 by2",
    ]


def no_merging(trajectory: object) -> None:
    return None


async def test_a_finished_answer_takes_its_place_in_a_beam() -> None:
    """keep 2 of A .8, b .7, c .6: b alone goes on. A rejected answer takes none: b and c do."""
    world = World({"": "Abc", "b": "X", "c": "Y"}, table("A .8  b .7  c .6  bX .1  cY .1"))
    beam = Beam(GUIDE, shape="3:2,1:2")
    assert (await story(beam, world))[2] == "grow b1; drop c"
    checked = replace(world, right="X")
    beam = replace(beam, judges=Judges("guide", "exact"))
    assert (await story(beam, checked))[1:] == [
        "score A!",
        "score b c",
        "grow b1 c1",
        "score bX! cY!",
    ]


@pytest.mark.parametrize(
    ("aggregation", "kept"),
    # Steps:    a .9 .44   b .6 .7   c .3 .8   d .62 .65
    # last         .44        .7        .8*       .65
    # product      .396       .42*      .24       .403
    # min          .44        .6        .3        .62*
    # mean         .67*       .65       .55       .635
    [("last", "cx"), ("product", "bx"), ("min", "dx"), ("mean", "ax"), (None, "cx")],
)
async def test_the_aggregation_decides_which_path_is_kept(
    aggregation: str | None, kept: str
) -> None:
    values = table("a .9  b .6  c .3  d .62   ax .44  bx .7  cx .8  dx .65")
    world = World(STEPS, lambda path: values.get(path, 0.5))
    judges = Judges("guide", aggregation=Aggregation(aggregation) if aggregation else None)
    assert f"grow {kept}1" in (await story(Beam(judges, shape="4:4,1:1"), world))[4]


# DVTS


def best_overall(subtrees: Sequence[Sequence[Place]]) -> Sequence[Place]:
    """Wrong: as many heads as there are subtrees, wherever they stand."""
    places = [place for subtree in subtrees for place in subtree]
    return sorted(places, key=lambda place: -place.value)[: len(subtrees)]


def first_of_each(subtrees: Sequence[Sequence[Place]]) -> Sequence[Place]:
    """Wrong: not the best."""
    return [subtree[0] for subtree in subtrees]


async def test_dvts_by_hand() -> None:
    """2 subtrees of 2 candidates: (a b) and (c d) never compete.

    level 1: a .9  b .7 | c .5  d .1        heads a | c
    level 2: ax .6  ay .5 | cx .4  cy .3    heads ax | cx
    level 3: axX .5  axY .3 | cxX .6  cxY .5
    """
    dvts = Dvts(GUIDE, subtrees=2, expansion=2)
    expected = [
        "grow .4",
        "score a b c d",
        "grow a2 c2; drop b d",
        "score ax ay cx cy",
        "grow ax2 cx2; drop ay cy",
        "score axX axY cxX cxY",
    ]
    assert await story(dvts) == expected
    overall = await story(replace(dvts, heads=best_overall))
    assert overall[2] == "grow a2 b2; drop c d"
    skewed = replace(WORLD, values={**VALUES, "b": 0.95})
    assert (await story(dvts, skewed))[2] == "grow b2 c2; drop a d"
    assert (await story(replace(dvts, heads=first_of_each), skewed))[2] == "grow a2 c2; drop b d"


async def test_a_subtree_ends_with_the_answer_its_argmax_picks() -> None:
    """(A .8, b .7) ends at once; (c .5, D .4) goes on with c, and D votes all the same."""
    world = World({"": "AbcD", "c": "XY"}, table("A .8 b .7 c .5 D .4 cX .3 cY .2"))
    dvts = Dvts(GUIDE, subtrees=2, expansion=2, answer_key=last_letter)
    played = await play(world, dvts)
    assert played.story[2:] == ["grow c2; drop b", "score cX cY"]
    assert played.solution.notes[0] == "weight 0.8 of 1.7 in 4 answers"


async def test_equal_states_merge_within_a_subtree_only() -> None:
    """Every path is in the same state: each subtree keeps its first, and both go on."""
    dvts = Dvts(GUIDE, subtrees=2, expansion=2, state_key=lambda trajectory: "here")
    assert (await story(dvts))[1:3] == ["score a c", "grow a2 c2; drop b d"]


# REBASE


def proportional(values: Sequence[float], temperature: float) -> list[float]:
    """Wrong: shares in proportion to the values, not to their exponentials."""
    return [value / sum(values) for value in values]


def untempered(values: Sequence[float], temperature: float) -> list[float]:
    """Wrong: the temperature is forgotten."""
    return softmax(values, 1.0)


def rounded(seats: int, shares: Sequence[float]) -> list[int]:
    """Wrong: does not sum to the seats."""
    return [round(seats * share) for share in shares]


def unshrunk(seats: int, shares: Sequence[float]) -> list[int]:
    """Wrong: finished answers leave the width as it is."""
    return largest_remainder(7, shares)


def ceiling(seats: int, shares: Sequence[float]) -> list[int]:
    """The reference's own: ceil of the share of what is left, from the best on."""
    left, counts = seats, [0] * len(shares)
    rest = 1.0
    for index in sorted(range(len(shares)), key=lambda each: -shares[each]):
        counts[index] = min(left, -int(-left * shares[index] // rest) if rest > 0 else 0)
        left, rest = left - counts[index], rest - shares[index]
    return counts


async def test_rebase_by_hand() -> None:
    """width 7, equal letters merged, T = .2; W is 7 less the answers so far.

    level 1: a .9  b .7  c .5  d .1           W = 7
        e^(v/T): 90.02 33.12 12.18 1.65  of 136.97
        quotas:   4.60  1.69  .62  .08   floors 4 1 0 0, two left to .69 and .62 -> 4 2 1 0
    level 2: ax .6  ay .5  az .1  A .7 | bx .8  by .2 | cx .4     one answer, W = 6
        e^(v/T): 20.09 12.18 1.65 | 54.60 2.72 | 7.39  of 98.62
        quotas:   1.22   .74  .10 |  3.32  .17 |  .45  floors 1 0 0 3 0 0, two to .74 and .45
    """
    steps = {**STEPS, "a": "xyzA"}
    values = {**VALUES, "aA": 0.7}
    world = World(steps, lambda path: values.get(path, 0.5))
    rebase = Rebase(GUIDE, width=7, state_key=first_letters)
    expected = [
        "grow .7",
        "score a b c d",
        "grow a4 b2 c1; drop d a b c",  # what the root's samples 4 to 6 repeat
        "score ax ay az aA bx by cx",
        "grow bx3 ax1 ay1 cx1; drop az by",
    ]
    assert (await story(rebase, world))[:5] == expected
    for wrong in (
        replace(rebase, softmax=proportional),
        replace(rebase, softmax=untempered),
        replace(rebase, softmax_temperature=0.5),
        replace(rebase, allot=ceiling),
        replace(rebase, allot=rounded),
        replace(rebase, allot=unshrunk),
    ):
        assert (await story(wrong, world))[:5] != expected


def first_letters(trajectory: object) -> str:
    """Paths are equal that read the same."""
    return str(trajectory)


@given(
    seats=st.integers(0, 300),
    values=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    temperature=st.floats(0.01, 10),
)
def test_seats_are_shared_out_exactly(seats: int, values: list[float], temperature: float) -> None:
    shares = softmax(values, temperature)
    counts = largest_remainder(seats, shares)
    assert sum(counts) == seats
    assert all(abs(count - seats * share) < 1 for count, share in zip(counts, shares, strict=True))
    order = sorted(range(len(values)), key=lambda index: values[index])
    assert all(counts[low] <= counts[high] + 1 for low, high in pairwise(order))
    drawn = systematic(shares, [0.37] * seats) if seats else [0] * len(shares)
    assert sum(drawn) == seats
    assert all(abs(count - seats * share) <= 1 for count, share in zip(drawn, shares, strict=True))


def test_shares_are_those_of_the_formula() -> None:
    total = exp(4.5) + exp(3.5) + exp(2.5) + exp(0.5)
    assert softmax([0.9, 0.7, 0.5, 0.1], 0.2) == pytest.approx(
        [exp(4.5) / total, exp(3.5) / total, exp(2.5) / total, exp(0.5) / total]
    )
    assert softmax([1000.0, 0.0], 0.001) == [1.0, 0.0]


def test_the_papers_ceiling_starves_the_last_nodes() -> None:
    """Eight seats by shares .4 .3 .2 .1: ceil(3.2) = 4, ceil(4 .3/.6) = 2, ceil(2 .2/.3) = 2.

    The last node has a tenth of the value and none of the seats.
    """
    shares = [0.4, 0.3, 0.2, 0.1]
    assert ceiling(8, shares) == [4, 2, 2, 0]
    assert largest_remainder(8, shares) == [3, 2, 2, 1]


# Particles


def undrawn(shares: Sequence[float], drawn: Sequence[float]) -> list[int]:
    """Wrong: REBASE."""
    return largest_remainder(len(drawn), shares)


async def test_particles_by_hand() -> None:
    """width 4, T = .2, systematic: one uniform u a level, particle k falls at (k + u) / 4.

        level 1: a .9  b .7  c .5  d .1: shares .657 .242 .089 .012, edges .657 .899 .988 1
            u = .623: .156 .406 .656 .906          -> a a a c
        level 2: ax .6  ay .5  az .1  cx .4: shares .486 .295 .040 .179, edges .486 .781 .821 1
            u = .163: .041 .291 .541 .791          -> ax ax ay az
    Multinomial, level 1: .623 .434 .508 .561      -> a a a a
    """
    assert uniforms(0, 1, 4) == pytest.approx([0.623, 0.434, 0.508, 0.561], abs=5e-4)
    assert uniforms(0, 2, 1) == pytest.approx([0.163], abs=5e-4)
    particles = Particles(GUIDE, width=4)
    expected = [
        "grow .4",
        "score a b c d",
        "grow a3 c1; drop b d",
        "score ax ay az cx",
        "grow ax2 ay1 az1; drop c cx",
        "score axX axY ayX azX",
    ]
    assert await story(particles) == expected
    drawn = replace(particles, resampling=Resampling.MULTINOMIAL)
    assert (await story(drawn))[2] == "grow a4; drop b c d"
    assert await story(replace(particles, resample=undrawn)) != expected
    assert await story(replace(particles, softmax_temperature=0.5)) != expected
    assert (await play(WORLD, particles, seed=1)).story != expected


def test_particles_fall_where_their_numbers_lie() -> None:
    shares = [0.5, 0.3, 0.2]
    # systematic, u_0 = .2: (0 + .2)/4 = .05, .3, .55, .8 -> 0 0 1 2 (edges .5 .8 1)
    assert systematic(shares, [0.2, 0.9, 0.9, 0.9]) == [2, 1, 1]
    # multinomial, each its own: .2 .9 .9 .9 -> 0 2 2 2
    assert multinomial(shares, [0.2, 0.9, 0.9, 0.9]) == [1, 0, 3]
    assert multinomial(shares, [0.0, 0.5, 0.8, 0.999999]) == [1, 1, 2]


async def test_particles_on_equal_states_weigh_together() -> None:
    """Root samples a a a b: the place a has three particles of weight 1, b has one.

    With equal values a takes 3/4 of four particles; did copies not count, it would take half.
    """
    world = World({"": "aaab", "a": "x", "b": "x", "ax": "X", "bx": "X"}, lambda path: 0.5)
    particles = Particles(GUIDE, width=4, state_key=first_letters)
    # The other two copies of a are neither valued nor grown.
    assert (await story(particles, world))[1:3] == ["score a b", "grow a3 b1; drop a a"]


# Tree of Thoughts


async def test_tot_bfs_by_hand() -> None:
    """b = 2, three thoughts from each.

    level 1: a .9  b .7  c .5                              keep a b
    level 2: ax .6  ay .5  az .1  bx .8  by .2  bz .3      keep bx ax
    level 3: bxX .4  bxY .7  bxZ .2  axX .5  axY .3  axZ .1   outputs bxY axX
    """
    tot = TotBfs(GUIDE, breadth=2, proposals=3)
    played = await play(WORLD, tot)
    assert played.story == [
        "grow .3",
        "score a b c",
        "grow a3 b3; drop c",
        "score ax ay az bx by bz",
        "grow bx3 ax3; drop ay az by bz",
        "score bxX bxY bxZ axX axY axZ",
    ]
    kept = [played.tree.trajectory(node_id).text for node_id in tot.kept(played.tree)]
    assert ["".join(text.split()) for text in kept] == ["bxY", "axX"]
    for wrong in (replace(tot, breadth=3), replace(tot, proposals=2)):
        assert await story(wrong) != played.story


async def test_tot_dfs_by_hand() -> None:
    """Two thoughts a place, threshold .25, the best first, five visits.

    visit root: a .9  b .7        stack b a
    visit a:    ax .6  ay .5      stack b ay ax
    visit ax:   axX axY           two answers, nothing to visit
    visit ay:   ayX ayY           the same
    visit b:    bx .8  by .2      by is below the threshold; the visits are used up
    """
    tot = TotDfs(GUIDE, visits=5, proposals=2, threshold=0.25)
    expected = [
        "grow .2",
        "score a b",
        "grow a2",
        "score ax ay",
        "grow ax2",
        "score axX axY",
        "grow ay2; drop ax",
        "score ayX ayY",
        "grow b2; drop a ay",
        "score bx by",
    ]
    assert await story(tot) == expected
    assert (await story(replace(tot, visits=7)))[10:] == ["grow bx2; drop by", "score bxX bxY"]
    lax = await story(replace(tot, visits=7, threshold=0.1))
    assert lax[10] == "grow bx2"  # by is kept for later
    assert (await story(replace(tot, threshold=0.55)))[6] == "grow b2; drop a ax"


async def test_tot_dfs_does_not_visit_a_state_again() -> None:
    """Paths that end in the same letter are equal: after ax and ay, b's x and y are known."""
    tot = TotDfs(GUIDE, visits=9, proposals=2, threshold=0.0, state_key=state_after_last)
    assert (await story(tot))[-1] == "grow b2; drop a ay"


# MCTS

MCTS_VALUES = table("a .6  b .5  c .4   ax .2  ay .1   bx .7  by .6   cx .3  cy .2")
MCTS_WORLD = World(STEPS, lambda path: MCTS_VALUES.get(path, 0.5))


def greedy_choice(edge: Edge, exploration: float) -> float:
    """Wrong: no exploration."""
    return edge.mean


def best_sum(edge: Edge, exploration: float) -> float:
    """Wrong: the sum of values, not their mean."""
    return edge.mean * edge.visits + uct(edge, exploration) - edge.mean


def equal_priors(edge: Edge, exploration: float) -> float:
    """Wrong: every child has the same prior."""
    return puct(replace(edge, prior=0.5), exploration)


async def test_mcts_by_uct_by_hand() -> None:
    """expansion 2, children allowed max(2, ceil(sqrt N)), c = 1.414, B = Q + c sqrt(ln N / n).

    N = 0           root: a .6  b .5
    N = 2           2 allowed    a .6 + 1.177 = 1.777*   b .5 + 1.177 = 1.677    -> a: .2 .1
    N = 4           2 allowed    a .3 + .961  = 1.261    b .5 + 1.665 = 2.165*   -> b: .7 .6
    N = 6           3 allowed                                                    -> root: c .4
    N = 7           3 allowed    a .3 + 1.139   b .6 + 1.139   c .4 + 1.972*     -> c: .3 .2
    N = 9           3 allowed    a .3 + 1.210   b .6 + 1.210*  c .3 + 1.210      -> b has 2 of 2:
                    ln 3 = 1.099, N_b = 3: bx .7 + 1.482*  by .6 + 1.482         -> bx
    """
    mcts = Mcts(GUIDE, n=11, expansion=2, exploration=1.414)
    expected = [
        *("grow .2", "score a b", "grow a2", "score ax ay", "grow b2", "score bx by"),
        *("grow .1", "score c", "grow c2", "score cx cy", "grow bx2", "score bxX bxY"),
    ]
    assert await story(mcts, MCTS_WORLD) == expected
    for wrong in (
        replace(mcts, attraction=greedy_choice),
        replace(mcts, attraction=best_sum),
        replace(mcts, exploration=0.1),
        replace(mcts, widening=0.0),
        replace(mcts, expansion=3),
    ):
        assert await story(wrong, MCTS_WORLD) != expected


async def test_mcts_by_puct_by_hand() -> None:
    """Root samples a a b, equal letters merged: P(a) = 2/3, P(b) = 1/3; c = 1.414.

        N = 2: a .4 + 1.414 (2/3) 1.414 / 2 = 1.067*    b .5 + .333 = .833
    UCT, or PUCT with equal priors, would take b, whose value is larger.
    """
    world = World(
        {"": "aab", "a": "xyz", "b": "xyz", **{p + q: "X" for p in "ab" for q in "xyz"}},
        {"a": 0.4, "b": 0.5, **{p + q: 0.5 for p in "ab" for q in "xyz"}},
    )
    mcts = Mcts(GUIDE, n=6, expansion=3, rule=Rule.PUCT, exploration=1.414, state_key=first_letters)
    expected = ["grow .3", "score a b", "grow a3", "score ax ay az"]
    assert await story(mcts, world) == expected
    for wrong in (
        replace(mcts, rule=Rule.UCT),
        replace(mcts, state_key=no_merging, attraction=greedy_choice),
        replace(mcts, attraction=equal_priors),
    ):
        assert (await story(wrong, world))[2] != expected[2]


def test_the_bounds_are_those_of_the_papers() -> None:
    edge = Edge(mean=0.3, visits=3, parent_visits=7, prior=0.25)
    assert uct(edge, 1.414) == pytest.approx(0.3 + 1.414 * sqrt(1.9459101 / 3))
    assert puct(edge, 1.414) == pytest.approx(0.3 + 1.414 * 0.25 * sqrt(7) / 4)


async def test_mcts_values_children_by_rollouts() -> None:
    """Each child is completed once; the value of its answer is the child's.

    a -> axX .5, b -> bxX .4: a goes on. The guide itself would say a .1, b .9.
    """
    values = {**VALUES, "a": 0.1, "b": 0.9}
    world = World(STEPS, lambda path: values.get(path, 0.5))
    mcts = Mcts(GUIDE, n=4, expansion=2, evaluation=Evaluation.ROLLOUT)
    assert await story(mcts, world) == [
        *("grow .2", "grow a~ b~", "score axX bxX", "grow a2", "grow ax~ ay~", "score axX ayX"),
    ]


async def test_mcts_does_not_visit_what_is_exhausted() -> None:
    """a is worth most and ends at once in A and B: all further steps go where something can grow.

    With the children fixed, the search ends when the tree does; with widening it goes on to n.
    """
    world = World(
        {"": "ab", "a": "AB", "b": "xy", "bx": "AB", "by": "CD"},
        lambda path: 0.9 if path.startswith("a") else 0.1,
    )
    fixed = await play(world, Mcts(GUIDE, n=40, expansion=2, widening=0.0))
    assert len(fixed.tree) - 1 == 2 + 2 + 2 + 4  # everything there is, once
    wide = await play(world, Mcts(GUIDE, n=40, expansion=2))
    assert len(wide.tree) - 1 == 40


async def test_simulations_of_one_wave_look_at_different_places() -> None:
    """Two at once: while a is being expanded it counts as visited for nothing, so b is next."""
    trace = await story(Mcts(GUIDE, n=6, expansion=2, exploration=1.414, width=2), MCTS_WORLD)
    assert trace[:4] == ["grow .2", "score a b", "grow a2 b2", "score ax ay bx by"]


@pytest.mark.parametrize("combine", list(Combine))
async def test_a_search_gives_the_answer_its_verifier_accepts(combine: Combine) -> None:
    """Z weighs least and is right. X weighs most."""
    judges = Judges("guide", "exact", combine=combine)
    for strategy in (
        Beam(judges, width=2, expansion=3),
        Rebase(judges, width=9, softmax_temperature=0.05),
        Mcts(judges, n=40, expansion=4),
        TotDfs(judges, steps=Stepwise(early_stop=True), visits=30, proposals=3),
    ):
        played = await play(replace(WORLD, right="Z"), strategy)
        assert (played.solution.answer or "").endswith("Z")
        assert played.solution.confidence == 1.0


# Best first


async def test_best_first_by_hand() -> None:
    """A place of value v that had k draws stands at v / (1 + k), the problem itself at 1 / (1 + k).

    root 1                                       -> root: a .9
    root .5   a .9*                              -> a: ax .6
    root .5   a .45  ax .6*                      -> ax: axX .5, an answer
    root .5*  a .45  ax .3                       -> root: b .7
    root .33  a .45  ax .3  b .7*                -> b: bx .8
    root .33  a .45  ax .3  b .35  bx .8*        -> bx: bxX .4
    root .33  a .45* ax .3  b .35  bx .4         -> a: ay .5
    """
    search = BestFirst(GUIDE, n=7, sharpness=1.0)
    expected = [
        *("grow .1", "score a", "grow a1", "score ax", "grow ax1", "score axX"),
        *("grow .1", "score b", "grow b1", "score bx", "grow bx1", "score bxX"),
        *("grow a1", "score ay"),
    ]
    assert await story(search) == expected
    for wrong in (replace(search, sharpness=3.0), replace(search, width=2), replace(search, n=6)):
        assert await story(wrong) != expected


async def test_best_first_draws_less_and_less_from_a_place_whose_steps_repeat() -> None:
    """There are two first steps. Both drawn again are the same places, which have no fewer draws.

    root 1 -> a .2;  root .5* a .2 -> b .1;  root .33* a .2 b .1 -> a again;  root .25* -> b again
    root .2*, level with a, is older;  root .167  a .2* b .1
    """
    world = World({"": "ab", "a": "X", "b": "X"}, table("a .2  b .1  aX 0  bX 0"))
    search = BestFirst(GUIDE, n=6, sharpness=1.0, state_key=first_letters)
    told = await story(search, world)
    assert [line for line in told if line.startswith("grow")] == [*["grow .1"] * 5, "grow a1"]
