"""Maths answers: `qwen_math_rm8`, `gsm8k`, `routellm` and `zeroeval_multimodel`."""

from collections.abc import Mapping
from dataclasses import replace
from re import compile as compile_pattern
from typing import Final

from mull.build import answer_keys
from mull.evaluation.recorded.lines import Line, count
from mull.evaluation.recorded.measures import Values, any_sample, draw, one_sample, percent
from mull.tasks.recorded import RecordedProblem, RecordedSet, Rows
from mull.tasks.recorded.maths import read_gsm8k, read_qwen, read_routellm, read_zeroeval
from mull.verifiers.maths import extract_answer

_SCORE: Final = compile_pattern(r"\|\s*(\S+)\s*\|\s*greedy\s*\|\s*([\d.]+)\s*\|")


async def qwen(rows: Rows) -> list[Line]:
    """Eight solutions a problem with rewards; predictions vote as text."""
    (recorded,) = read_qwen(rows)
    drawn, part = await draw(recorded), recorded.name
    return [
        Line(part, "one sample", percent(one_sample(recorded)), "93.75", "91.0"),
        Line(part, "maj@8, first of ties", percent(drawn.votes()), "96", "93.0"),
        Line(part, "RM@8, first of ties", percent(drawn.best()), "96", "94.0"),
        Line(part, "any of 8", percent(any_sample(recorded)), "98", "96.0"),
    ]


async def gsm8k(rows: Rows) -> list[Line]:
    """Four systems, by the recorded verdicts and by our own reading of their answers."""
    whole = ("21.7", "39.0", "34.7", "56.3")
    lines = list[Line]()
    for recorded, stated in zip(read_gsm8k(rows), whole, strict=True):
        ours = [same_answer(each) for each in recorded.problems]
        agree = [
            float(own == bool(each.right[0]))
            for own, each in zip(ours, recorded.problems, strict=True)
        ]
        lines += [
            Line(recorded.name, "recorded verdict", percent(one_sample(recorded)), whole=stated),
            Line(recorded.name, "our verdict", percent(list(map(float, ours)))),
            Line(recorded.name, "both agree", percent(agree)),
        ]
    return lines


def same_answer(problem: RecordedProblem) -> bool:
    """Whether the last answer in the text is the reference."""
    record, key = problem.records[0], answer_keys()
    found = extract_answer(record.answer or record.text)
    stated = problem.example
    return found is not None and key(stated.problem, found.text) == key(
        stated.problem, stated.reference
    )


async def routellm(rows: Rows) -> list[Line]:
    """A weak and a strong model, and what asking either could reach."""
    gsm_weak, gsm_strong, mmlu_weak, mmlu_strong = read_routellm(rows)
    lines = list[Line]()
    for name, weak, strong, stated in (
        ("gsm8k", gsm_weak, gsm_strong, ("63.8", "85.7", "92.9")),
        ("mmlu", mmlu_weak, mmlu_strong, ("68.1", "80.6", "")),
    ):
        low, high = one_sample(weak), one_sample(strong)
        either: Values = [max(pair) for pair in zip(low, high, strict=True)]
        lines += [
            Line(name, "weak model", percent(low), whole=stated[0]),
            Line(name, "strong model", percent(high), whole=stated[1]),
            Line(name, "either", percent(either), whole=stated[2]),
        ]
    return lines


async def zeroeval(rows: Rows) -> list[Line]:
    """Every model's accuracy by our own reading, and how far its published rank is kept."""
    published = {name: _published(rows, name) for name in ("gsm", "math-l5")}
    lines = list[Line]()
    ranked: dict[str, list[tuple[float, float]]] = {name: [] for name in published}
    for recorded in read_zeroeval(rows):
        suite, _, model = recorded.name.partition(" ")
        found = percent([float(same_answer(each)) for each in recorded.problems])
        known = published[suite].get(model)
        lines.append(Line(suite, model, found, whole=f"{known:g}" if known is not None else ""))
        if known is not None:
            ranked[suite].append((found.value, known))
    for suite, pairs in ranked.items():
        lines.append(Line(suite, "rank correlation with published", count(rank_correlation(pairs))))
    return lines


def graded(recorded: RecordedSet) -> RecordedSet:
    """The set with our own verdicts, for one that nobody graded."""
    problems = tuple(replace(each, right=(same_answer(each),)) for each in recorded.problems)
    return replace(recorded, problems=problems)


def _published(rows: Rows, suite: str) -> Mapping[str, float]:
    text = (rows.folder / f"{suite}.summary.md").read_text(encoding="utf-8")
    return {model: float(score) for model, score in _SCORE.findall(text)}


def rank_correlation(pairs: list[tuple[float, float]]) -> float:
    """Spearman's, from mean ranks."""
    ranks = [_ranks([pair[side] for pair in pairs]) for side in (0, 1)]
    mean = (len(pairs) + 1) / 2
    first, second = ([rank - mean for rank in each] for each in ranks)
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / (sum(a * a for a in first) * sum(b * b for b in second)) ** 0.5


def _ranks(values: list[float]) -> list[float]:
    return [
        sum(each < value for each in values) + (sum(each == value for each in values) + 1) / 2
        for value in values
    ]
