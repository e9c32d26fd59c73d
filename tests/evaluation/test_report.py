import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any, cast
from xml.etree import ElementTree as ET

import pytest

from mull.core.codec import Json
from mull.core.expansion import Call
from mull.core.usage import Usage
from mull.evaluation import Axis, EvalConfig, ProblemSet, Report, Result, blind_curve
from mull.evaluation.curves import curve_of
from mull.evaluation.figure import Axes, Dot, Series, accuracy_figure, tick_label
from mull.evaluation.results import Key, Level, Pruning
from mull.evaluation.sheets import sheets_of
from mull.policies.scripted import Reply, ScriptedPolicy
from mull.puzzles import puzzle_of
from mull.tasks import Example, write_trace

Evaluate = Callable[..., Report]


class Outline(HTMLParser):
    """Which tags a page has, and every address it names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.addresses = list[str]()
        self.open = list[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "data"}]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(
    config: EvalConfig, run: Evaluate, tmp_path: Path
) -> None:
    run(config, num_seeds=2)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert outline.open == []
    assert outline.addresses == []
    assert {"svg", "table", "h1"} <= outline.tags
    assert not outline.tags & {"script", "link", "img", "iframe", "object"}
    assert "@import" not in page
    assert "url(" not in page
    # the only address is the name of the SVG language
    assert set(re.findall(r"https?://[^\"\s]+", page)) == {"http://www.w3.org/2000/svg"}


def test_what_a_model_is_called_cannot_break_the_page(config: EvalConfig, run: Evaluate) -> None:
    report = run(config, models=("<script>alert(1)</script>",))
    assert "script" not in Outline(report.html()).tags
    ET.fromstring(report.figure())  # noqa: S314  (our own)


def test_the_summary_holds_every_number_with_its_configuration(
    config: EvalConfig, run: Evaluate, tmp_path: Path
) -> None:
    report = run(config)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary == json.loads(json.dumps(report.to_json()))
    assert summary["config"]["budgets"] == [1, 4, 16]
    assert summary["sources"] == {
        "countdown-checker": "countdown-checker@1",
        "player": "scripted@1",
    }
    first = summary["curves"][0]
    assert first["num_problems"] == 5
    assert [point["n"] for point in first["points"]] == [1, 2, 4, 8, 16]
    assert set(first["points"][0]["accuracy"]) == {"value", "low", "high"}
    assert {each["axis"] for each in summary["comparisons"]} == {"tokens", "flops", "seconds"}


def test_the_table_shows_every_budget_that_was_asked_for(config: EvalConfig, run: Evaluate) -> None:
    report = run(config)
    rows = report.tables()[0].rows
    assert [row[1] for row in rows] == ["1", "4", "16", "1", "4", "16", "1", "1", "4", "16"]
    assert len({row[0] for row in rows}) == 4
    (*_, prompt, flops) = rows[2]
    point = report.curves[0].at(16)
    assert point is not None
    assert prompt == f"{point.prompt_tokens:,.0f}"
    assert flops == f"{point.flops / 1e6:,.1f}"
    assert rows[-1][-3:] == ("-", "-", "-")


def test_a_table_as_markdown_has_a_rule_and_all_rows(config: EvalConfig, run: Evaluate) -> None:
    report = replace(run(config), command="mull eval countdown")
    text = report.markdown()
    assert "mull eval countdown" in text
    lines = report.tables()[0].markdown().splitlines()
    assert {line.count("|") for line in lines[2:] if line} == {len(report.tables()[0].columns) + 1}
    assert len(lines) == 4 + len(report.tables()[0].rows)
    assert "- seeds: 0 to 0" in text


def test_published_numbers_stand_beside_the_same_games_only(
    config: EvalConfig, run: Evaluate
) -> None:
    hard = replace(config, problems=ProblemSet("countdown", suite="game24-hard"))
    curves = run(config).curves
    report = Report(hard, {}, curves)
    assert "69 % in the log the authors released" in report.html()
    assert "quoted, not measured here" in report.html()
    assert "MIT" in report.html()
    quoted = cast("list[Mapping[str, Json]]", report.to_json()["quoted"])
    assert [each["accuracy"] for each in quoted] == [0.073, 0.04, 0.09, 0.33, 0.49, 0.45, 0.74]
    assert "GPT-4" not in Report(config, {}, curves).html()


# Curves


ARM = "m/reasoning/best_of_n"


def result(budget: int, problem: str, seed: int, num_right: int, **facts: Any) -> Result:
    spent = Usage(10, 5, visible_tokens=budget * 10, flops=3.0, seconds=0.5)
    given: dict[str, Any] = {
        "is_right": num_right > 0, "has_answer": True, "num_answers": budget,
        "num_right": num_right, "spent": spent, "stop": "completed",
    }  # fmt: skip
    return Result(ARM, budget, problem, seed, **(given | facts))


def hand_made(config: EvalConfig, examples: list[Example]) -> dict[Key, Result]:
    """Two problems, two seeds, 4 samples: the first has 3 and 1 right ones, the second none."""
    counts = {1: ((1, 0), (0, 0)), 2: ((2, 0), (0, 0)), 4: ((3, 1), (0, 0))}
    lines = [
        result(budget, example.id, seed, count)
        for budget, problems in counts.items()
        for example, seeds in zip(examples, problems, strict=True)
        for seed, count in zip((7, 8), seeds, strict=True)
    ]
    return {line.key: line for line in lines}


@pytest.fixture
def two(config: EvalConfig) -> EvalConfig:
    return replace(
        config,
        problems=ProblemSet("countdown", suite="game24", count=2),
        models=("m",),
        budgets=(1, 4),
        rollouts=4,
        num_seeds=2,
        seed=7,
        has_baselines=False,
    )


def test_seeds_are_averaged_within_problems_and_samples_pooled(two: EvalConfig) -> None:
    examples = two.problems.examples()
    (sheet,) = sheets_of(two, examples, hand_made(two, examples))
    curve = curve_of(sheet)
    one, _, four = curve.points
    assert one.accuracy.value == pytest.approx((0.5 + 0.0) / 2)
    assert four.accuracy.value == pytest.approx((1.0 + 0.0) / 2)
    assert one.pass_at_k is not None
    assert four.pass_at_k is not None
    assert one.pass_at_k.value == pytest.approx((4 / 8 + 0.0) / 2)
    # of the 70 ways to choose 4 of 8 samples, 1 misses all 4 right ones
    assert four.pass_at_k.value == pytest.approx((69 / 70 + 0.0) / 2)
    assert (four.generated_tokens, four.prompt_tokens, four.cached_tokens) == (40, 10, 5)
    assert curve.seconds == 2.0
    assert (curve.num_problems, curve.num_seeds) == (2, 2)


def test_difficulty_comes_from_samples_that_smaller_budgets_did_not_see(two: EvalConfig) -> None:
    examples = two.problems.examples()
    (sheet,) = sheets_of(two, examples, hand_made(two, examples))
    rates = sheet.unseen_pass_at_1()
    assert rates is not None
    assert list(rates) == [2 / 4, 0.0]  # samples 2 and 3 of two seeds: one right in each


def test_what_happened_inside_is_added_up(two: EvalConfig) -> None:
    examples, facts = two.problems.examples(), hand_made(two, two.problems.examples())
    first, second = examples[0].id, examples[1].id
    missed: dict[str, Any] = {"is_right": False, "value": 0.25}
    pruned: dict[str, Any] = {"pruning": Pruning(8, 2), "levels": (Level(4, 3), Level(8, 2))}
    for line in (
        result(4, first, 7, 3, value=0.75, **pruned),
        result(4, first, 8, 1, **missed),
        result(4, second, 7, 0, pruning=Pruning(2, 1), levels=(Level(4, 4),)),
    ):
        facts[line.key] = line
    (sheet,) = sheets_of(two, examples, facts)
    point = curve_of(sheet).points[-1]
    assert point.recall is not None
    assert point.recall.value == 1 / 2  # two solves reached a right answer, one gave it
    assert point.value == pytest.approx(0.5)
    assert point.false_prunes is not None
    assert point.false_prunes.value == pytest.approx(3 / 10)
    assert point.duplicates == pytest.approx((1 / 8, 6 / 8))


def test_strategies_that_stop_early_have_no_pass_at_k(config: EvalConfig, run: Evaluate) -> None:
    curves = run(config, strategies=("early_stop",)).curves
    passes = {curve.strategy: curve.points[0].pass_at_k is None for curve in curves}
    assert passes == {
        "early_stop": True,
        "self_consistency": False,
        "greedy": True,
        "blind legal play": False,
    }


def test_blind_play_is_the_scripted_player_who_moves_at_random(
    config: EvalConfig, run: Evaluate
) -> None:
    # The same game played by two programs: numpy walks, and derivations through the whole
    # pipeline of policy, solver, checker and grader.
    problems = ProblemSet("countdown", suite="game24-hard", count=30)
    curves = run(config, problems=problems, budgets=(1, 16, 64)).curves
    played, blind = curves[0], curves[-1]
    assert blind.is_blind
    assert blind.num_problems == 30
    for alone in blind.points:
        through_all = played.at(alone.n)
        assert through_all is not None
        assert through_all.pass_at_k is not None
        assert through_all.pass_at_k.value == pytest.approx(alone.accuracy.value, abs=0.06)
        assert alone.generated_tokens == 0


def test_blind_play_needs_a_countdown() -> None:
    with pytest.raises(ValueError, match="countdown only"):
        blind_curve(
            ProblemSet("letters", level=1, count=1).examples(), ns=(1,), num_seeds=1, seed=0
        )


def test_reasoning_and_direct_answers_are_told_apart(run: Evaluate) -> None:
    """A model that multiplies right when it may reason, and else says 1."""

    def multiply(call: Call) -> Reply:
        if call.branch.expansion.thinking == "off":
            return Reply("<think></think> 1")
        puzzle = puzzle_of(call.bases[0].problem)
        examples = {each.problem.id: each for each in problems.examples()}
        assert puzzle is not None
        return Reply(write_trace(examples[call.bases[0].problem.id], "reasoning", Random(0)))

    problems = ProblemSet("multiply", level=2, count=3)
    config = EvalConfig(problems, ("m",), ("self_consistency",), ("reasoning", "direct"), (1, 4))
    curves = {
        (curve.form, curve.strategy): curve
        for curve in run(config, policy=ScriptedPolicy(multiply)).curves
    }
    assert len(curves) == 4
    for (form, _), curve in curves.items():
        right = {point.accuracy.value for point in curve.points}
        assert right == ({1.0} if form == "reasoning" else {0.0})


def test_the_page_has_a_figure_and_a_comparison_for_every_axis(
    config: EvalConfig, run: Evaluate
) -> None:
    report = run(config)
    page = report.html()
    assert page.count("<svg") == len(report.axes) == 3
    for axis in Axis:
        assert f"At matched compute: {axis.meaning}" in page
        assert f"{axis.meaning} per problem" in report.figure(axis)


# The figure


def test_a_log_axis_has_round_ticks_and_holds_every_dot() -> None:
    dots = (Dot(36, 0.2, 0.1, 0.3), Dot(9_000, 1.0, 0.9, 1.0))
    axes = Axes.around([Series("a", dots)])
    assert axes.ticks() == [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
    pixels = [axes.x(dot.x) for dot in dots]
    assert axes.x(100) - axes.x(50) == pytest.approx(axes.x(2_000) - axes.x(1_000))
    assert 64 < pixels[0] < pixels[1] < 816


def test_large_numbers_on_an_axis_are_short() -> None:
    labels = [tick_label(value) for value in (0.5, 50, 20_000, 5e6, 2e10, 1e12)]
    assert labels == ["0.5", "50", "20,000", "5 M", "20 G", "1 T"]


def test_the_figure_draws_lines_bands_and_single_points() -> None:
    dots = tuple(Dot(10.0**k, k / 4, k / 5, k / 3.5) for k in range(1, 4))
    series = [
        Series("a line", dots),
        Series("a point & more", dots[:1]),
        Series("blind", dots, is_baseline=True),
    ]
    figure = accuracy_figure(series, title="T", x_title="x", y_title="y")
    root = ET.fromstring(figure)  # noqa: S314  (our own)
    kinds = [each.get("class", "") for each in root.iter()]
    assert sum("band" in kind for kind in kinds) == 2
    assert sum("bar" in kind for kind in kinds) == 1
    assert sum("dashed" in kind for kind in kinds) == 2
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"T", "x", "y", "a line", "a point & more", "100 %"} <= set(texts)
    assert "prefers-color-scheme:dark" in figure


def test_a_figure_without_dots_is_still_a_figure() -> None:
    ET.fromstring(accuracy_figure([Series("a", ())], title="", x_title="", y_title=""))  # noqa: S314
