"""Game of 24: `tot_gpt4` and `xot_game24`."""

from collections.abc import Mapping, Sequence
from typing import Final

from mull.build import OpenModel, SearchPlan, StrategyTable
from mull.core.spec import Option, Spec
from mull.core.states import no_state
from mull.evaluation.intervals import Interval
from mull.evaluation.journal import NoJournal
from mull.evaluation.recorded.lines import Line
from mull.evaluation.recorded.measures import (
    MAX_TOKENS,
    Values,
    any_sample,
    draw,
    one_sample,
    pass_at,
    percent,
)
from mull.policies.replay_search import ReplaySearchPolicy
from mull.search.tot_bfs import TotBfs
from mull.tasks.recorded import Rows
from mull.tasks.recorded.game24 import SearchedSet, read_tot, read_tot_search, read_xot
from mull.verifiers.recorded import RecordedValues

_BEAMS: Final = {1: "42", 2: "56", 3: "62", 4: "68", 5: "70"}
"""Stated of the recorded search, replayed with each width."""


async def tot(rows: Rows, *, widths: Sequence[int] = tuple(_BEAMS)) -> list[Line]:
    """Direct, chain of thought and tree of thought. An answer is its raw last line."""
    direct, chain, search = read_tot(rows)
    lines = list[Line]()
    for recorded, mean, anyone, vote in (
        (direct, "4.68", "36", "6"),
        (chain, "5.08", "56", "10"),
    ):
        drawn, part = await draw(recorded), recorded.name
        lines += [
            Line(part, "one sample", percent(one_sample(recorded)), mean),
            Line(part, "pass@10, unbiased", percent(pass_at(recorded, 10))),
            Line(part, "any of 100", percent(any_sample(recorded)), anyone),
            Line(part, "vote of 100, first of ties", percent(drawn.votes()), vote),
        ]
    averaged = percent(drawn.votes_with_ties_averaged())
    lines.append(Line(chain.name, "vote of 100, ties averaged", averaged, "10.67"))
    finals = await draw(search)
    return [
        *lines,
        Line(search.name, "any of the 5 finals", percent(any_sample(search)), "70"),
        Line(search.name, "the first final", percent(finals.first(1).votes()), "64"),
        *await _beams(read_tot_search(rows), widths),
    ]


async def _beams(searched: SearchedSet, widths: Sequence[int]) -> list[Line]:
    """Our `tot_bfs` over the recorded thoughts and values: any of the places it ends with.

    Equal states stay apart, as in the recorded search.
    """
    return [
        Line("tot_bfs on that log", f"beam {n}, any", await _beam(searched, n), _BEAMS[n])
        for n in widths
    ]


async def _beam(searched: SearchedSet, width: int) -> Interval:
    values = RecordedValues(searched.searches)
    options: Mapping[str, Option] = {
        "guide": values.source.verifier,
        "breadth": width,
        "proposals": searched.most_thoughts,
        "thoughts": "propose",
        "depth": 4,
        "max_tokens": MAX_TOKENS,
    }
    spec, strategies = Spec("tot_bfs", options), StrategyTable(state_key=no_state)
    strategy = strategies(spec)
    model = OpenModel.own(ReplaySearchPolicy(searched.searches))
    solver = SearchPlan(spec, strategies, (values,)).solver(model, NoJournal())
    found = Values()
    for problem in searched.problems:
        right = {
            record.text
            for record, is_right in zip(problem.records, problem.right, strict=True)
            if is_right
        }
        tree = (await solver.solve(problem.example.problem)).tree
        kept = strategy.kept(tree) if isinstance(strategy, TotBfs) else ()
        found.append(float(any(tree.trajectory(node_id).text in right for node_id in kept)))
    return percent(found)


_XOT: Final = {
    "cot_sample10_multi0": "2.19",
    "cot_sample1_multi0": "2.19",
    "got_multi0_propose1_value1_greedy1_laststep0": "2.19",
    "got_multi0_propose1_value1_greedy1_laststep1": "2.92",
    "io_sample1_multi0": "6.57",
    "tot_propose1_value1_greedy1_laststep0": "3.65",
    "tot_propose1_value1_greedy1_laststep1": "5.84",
    "tot_propose1_value1_greedy3_laststep1": "10.22",
    "xot_multi0_revised0_laststep0": "17.52",
    "xot_multi0_revised0_laststep1": "61.31",
    "xot_multi0_revised1_laststep1": "79.56",
    "xot_multi0_revised1_reviseTimes2_laststep1": "88.32",
    "xot_multi0_revised1_reviseTimes3_laststep1": "90.51",
}


async def xot(rows: Rows) -> list[Line]:
    """Solved: any answer that was kept."""
    lines = list[Line]()
    for recorded in read_xot(rows):
        stated = _XOT.get(recorded.name, "")
        lines.append(Line(recorded.name, "any answer", percent(any_sample(recorded)), stated))
        if recorded.num_samples > 1:
            votes = (await draw(recorded)).votes()
            lines.append(Line(recorded.name, f"vote of {recorded.num_samples}", percent(votes)))
    return lines
