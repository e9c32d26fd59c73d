"""What the demo shows beside its story: searches at equal cost, and one of them drawn."""

import asyncio
from dataclasses import replace

from mull.build import OpenModel
from mull.evaluation.controls import OracleGuide
from mull.evaluation.demo import GAMES, HARD_GAMES, play_games, search_with_guide
from mull.evaluation.evaluate import watch_nothing
from mull.policies.scripted import ScriptedPolicy


def test_searches_stand_beside_best_of_n_at_the_same_cost(player: ScriptedPolicy) -> None:
    few = replace(GAMES, count=3)
    model = OpenModel.own(player)
    games = asyncio.run(play_games("player", model, watch_nothing, OracleGuide(), problems=few))
    greedy, best, *searches = games.rivals
    assert greedy.label == "player greedy"
    assert (best.label, best.at_tokens, best.at_flops) == ("player best of n", None, None)
    assert [each.label for each in searches] == [
        "player early stop",
        "player best first (early stop)",
        "player tapered beam",
        "player beam",
        "player dvts",
        "player mcts",
    ]
    for each in searches:
        assert each.at_tokens is not None
        assert each.at_flops is not None
        assert 0.0 <= each.at_tokens <= 1.0
        assert each.tokens > greedy.tokens
    # knowing where the target can still be reached is no worse than not knowing it
    assert max(each.solved.value for each in searches) >= best.solved.value


def test_without_a_guide_there_are_no_searches(player: ScriptedPolicy) -> None:
    few = replace(GAMES, count=1)
    games = asyncio.run(play_games("player", OpenModel.own(player), watch_nothing, problems=few))
    assert games.rivals == ()
    assert [play.samples for play in games.plays] == [1, 1, 64, 64, 1, 64]


def test_the_drawn_search_is_that_of_the_game(player: ScriptedPolicy) -> None:
    game = HARD_GAMES[0]
    solution, drawing = asyncio.run(search_with_guide(OpenModel.own(player), game, OracleGuide()))
    assert solution.tree.problem.statement == game.statement
    lines = list(drawing.lines())
    assert 4 <= len(lines) <= 40
    assert any(line.text.startswith("├─ 1.00") for line in lines)
