from doubles import PROBLEM

from mull.control.fixed import Fixed
from mull.core.events import StopReason
from mull.core.protocols import Controller, Run, Situation, Stop
from mull.core.spec import Spec
from mull.core.tree import SearchTree
from mull.core.usage import Headroom, Usage


def test_it_runs_its_strategy_until_that_is_done_and_gives_its_reason() -> None:
    strategy = Spec("early_stop", {"n": 4})
    controller: Controller = Fixed(strategy)
    tree = SearchTree(PROBLEM, "m@1", 0)
    going = Situation(tree, Usage(), Headroom())
    assert controller.decide(going) == Run(strategy)
    done = Situation(tree, Usage(), Headroom(), StopReason.ACCEPTED)
    assert controller.decide(done) == Stop(StopReason.ACCEPTED)
