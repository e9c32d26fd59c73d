import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from mull.core.codec import Json
from mull.core.expansion import Call
from mull.evaluation import ArmResult, EvalConfig, ProblemSet, Reading, Report, blind_curve
from mull.evaluation.curves import curves_of
from mull.evaluation.figure import Axes, Dot, Series, accuracy_figure
from mull.evaluation.table import rows_of
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
    assert summary["config"]["ns"] == [1, 4, 16]
    assert summary["models"] == {"player": "scripted@1"}
    assert summary["axis"] == "generated tokens per problem"
    first = summary["curves"][0]
    assert first["num_problems"] == 5
    assert [point["n"] for point in first["points"]] == [1, 4, 16]
    assert set(first["points"][0]["accuracy"]) == {"value", "low", "high"}
    assert all("cached_tokens" in point for point in first["points"])


def test_a_table_row_says_how_often_and_for_how_much(config: EvalConfig, run: Evaluate) -> None:
    report = run(config)
    rows = list(rows_of(report.curves))
    assert [row.cells[1] for row in rows] == ["1", "4", "16", "1", "4", "16", "1", "1", "4", "16"]
    assert sum(row.starts_arm for row in rows) == 4
    (*_, prompt, flops) = rows[2].cells
    point = report.curves[0].points[2]
    assert prompt == f"{point.prompt_tokens:,.0f}"
    assert flops == f"{point.flops / 1e9:,.2f}"
    assert rows[-1].cells[-3:] == ("-", "-", "-")


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


def reading(n: int, *, is_right: bool, tokens: int) -> Reading:
    return Reading(n, is_right, True, tokens, 10, 5, 3.0)


def hand_made(config: EvalConfig, examples: list[Example]) -> dict[tuple[str, str, int], ArmResult]:
    """Two problems, two seeds, 4 samples: the first has 3 and 1 right ones, the second none."""
    lines = list[ArmResult]()
    for example, counts in zip(examples, ((3, 1), (0, 0)), strict=True):
        for seed, count in zip((7, 8), counts, strict=True):
            readings = tuple(
                reading(n, is_right=count > 1 or n * count >= 4, tokens=n * 10) for n in (1, 4)
            )
            arm = "m/reasoning/best_of_n"
            lines.append(ArmResult(arm, example.id, "", seed, 4, count, readings, "completed", 0.5))
    return {line.key: line for line in lines}


def test_seeds_are_averaged_within_problems_and_samples_pooled(config: EvalConfig) -> None:
    config = replace(
        config,
        problems=ProblemSet("countdown", suite="game24", count=2),
        models=("m",),
        ns=(1, 4),
        num_seeds=2,
        seed=7,
        has_baselines=False,
    )
    examples = config.problems.examples()
    (curve,) = curves_of(config, examples, hand_made(config, examples))
    one, four = curve.points
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
    curves = run(config, problems=problems, ns=(1, 16, 64)).curves
    played, blind = curves[0], curves[-1]
    assert blind.is_blind
    assert blind.num_problems == 30
    for through_all, alone in zip(played.points, blind.points, strict=True):
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


# The figure


def test_a_log_axis_has_round_ticks_and_holds_every_dot() -> None:
    dots = (Dot(36, 0.2, 0.1, 0.3), Dot(9_000, 1.0, 0.9, 1.0))
    axes = Axes.around([Series("a", dots)])
    assert axes.ticks() == [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
    pixels = [axes.x(dot.x) for dot in dots]
    assert axes.x(100) - axes.x(50) == pytest.approx(axes.x(2_000) - axes.x(1_000))
    assert 64 < pixels[0] < pixels[1] < 816


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
