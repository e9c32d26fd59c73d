"""Game of 24: `tot_gpt4` and `xot_game24`."""

from mull.evaluation.recorded.lines import Line
from mull.evaluation.recorded.measures import any_sample, draw, one_sample, pass_at, percent
from mull.tasks.recorded import Rows
from mull.tasks.recorded.game24 import read_tot, read_xot


async def tot(rows: Rows) -> list[Line]:
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
    ]


_XOT: dict[str, str] = {
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
