from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.expansion import (
    Branch,
    BranchId,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    Limits,
    NodeId,
    Sampling,
)
from mull.core.problem import Problem
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Usage

PROBLEM = Problem.of("What is six times seven?")


def tree_of(seed: int = 0, model: str = "m@1") -> SearchTree:
    return SearchTree(PROBLEM, model, seed)


def whole(tree: SearchTree, count: int = 1) -> Expansion:
    return Expansion((tree.root,), ExpansionKind.FINISH, count)


def grow(tree: SearchTree, branch: Branch, index: int, finish: Finish | None = None) -> NodeId:
    step = Step(
        f"{index}\n",
        tuple(range(3)),
        kind=StepKind.ANSWER if finish is Finish.STOP else StepKind.THOUGHT,
        is_final=finish is Finish.STOP,
    )
    return tree.grow(Grown(branch.id, index, step, Usage(visible_tokens=3), finish)).id


def test_ids_and_seeds_follow_from_content_alone() -> None:
    one, same, other = tree_of(), tree_of(), tree_of(seed=1)
    first = one.ask(whole(one, 3))
    assert first == (*same.ask(whole(same, 1)), *same.ask(whole(same, 2)))
    assert {branch.id for branch in first}.isdisjoint(b.id for b in other.ask(whole(other, 3)))
    assert len({branch.seed for branch in first}) == 3
    assert tree_of(model="m@2").root != one.root


def test_another_question_gets_other_ids() -> None:
    tree = tree_of()
    asked = whole(tree)
    others = [asked, replace(asked, sampling=Sampling(0.5)), replace(asked, limits=Limits(9))]
    branches = [branch for each in others for branch in tree.ask(each)]
    assert len({branch.id for branch in branches}) == len({branch.seed for branch in branches}) == 3
    assert [branch.sample for branch in branches] == [0, 0, 0]


def test_ids_never_change_between_versions() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    assert (tree.root, branch.id, branch.seed) == (
        "115ebb33564ab0f2d633",
        "56ad87bee7e736dbd4e6",
        3208245867100597431,
    )


def test_what_is_finished_is_listed_by_age_not_by_arrival() -> None:
    tree = tree_of()
    first, second, third = tree.ask(whole(tree, 3))
    grow(tree, third, 0, Finish.STOP)
    early = grow(tree, first, 0)
    late = grow(tree, second, 0, Finish.STOP)
    end = grow(tree, first, 1, Finish.STOP)
    assert [node.id for node in tree.finished()] == [end, late, third.node_id(0)]
    assert [branch.id for branch in tree.pending()] == []
    assert sorted([late, end, early, tree.root], key=tree.age) == [tree.root, early, end, late]


def test_whoever_has_read_the_tree_is_told_where_to_look_again() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    node_id = grow(tree, branch, 0, Finish.STOP)
    assert list(tree.changes(0)) == [tree.root, node_id]
    tree.judge(node_id, Score(0.5, Source("guide", "1")))
    assert list(tree.changes(2)) == [node_id]
    tree.drop([node_id])
    assert not tree.changes(3)


def test_the_order_of_arrival_leaves_no_mark() -> None:
    one, other = tree_of(), tree_of()
    a, b = one.ask(whole(one, 2))
    other.ask(whole(other, 2))
    for branch, index in ((a, 0), (a, 1), (b, 0)):
        grow(one, branch, index)
    for branch, index in ((b, 0), (a, 0), (a, 1)):
        grow(other, branch, index)
    assert one.content() == other.content()
    assert one.children(one.root) == other.children(other.root)
    assert [node.branch_id for node in one.children(one.root)] == [a.id, b.id]


def test_a_branch_is_a_chain_from_its_parent() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    first, last = grow(tree, branch, 0), grow(tree, branch, 1, Finish.STOP)
    assert first == f"{branch.id}.0"
    assert [node.id for node in tree.children(first)] == [last]
    assert [node.id for node in tree.finished()] == [last]
    assert tree.trajectory(last).text == "0\n1\n"
    assert tree.pending() == ()
    assert (len(tree), last in tree, NodeId("x") in tree) == (3, True, False)
    tree.check()


@pytest.mark.parametrize("index", [0, 2])
def test_only_the_next_step_of_an_open_branch_can_be_grown(index: int) -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    grow(tree, branch, 0)
    with pytest.raises(ValueError, match="cannot follow 1 steps"):
        grow(tree, branch, index)


def test_a_branch_that_has_ended_is_closed() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    grow(tree, branch, 0, Finish.LENGTH)
    with pytest.raises(ValueError, match="cannot follow"):
        grow(tree, branch, 1)


def test_a_cut_branch_stays_open_and_goes_on_where_it_was() -> None:
    tree = tree_of()
    (branch,) = tree.ask(replace(whole(tree), limits=Limits(10)))
    grow(tree, branch, 0)
    grow(tree, branch, 1, Finish.CUT)
    call = tree.call(branch)
    assert (call.drawn, call.max_tokens, len(call.grown)) == (6, 4, 2)
    assert call.trajectory.text == "0\n1\n"
    assert call.cut_to(2).max_tokens == 2
    assert (tree.pending(), tree.num_asked(tree.root)) == ((branch,), 1)
    grow(tree, branch, 2, Finish.STOP)
    tree.check()


def test_a_failed_branch_is_no_longer_pending_but_still_counts_as_asked() -> None:
    tree = tree_of()
    a, b = tree.ask(whole(tree, 2))
    assert tree.branch(a.id) == a
    tree.fail(Failed(a.id, "no reply"))
    assert tree.pending() == (b,)
    assert tree.num_asked(tree.root) == 2
    assert tree.failures[a.id].message == "no reply"
    assert tree.next_sample(whole(tree)) == 2
    tree.check()


def test_a_join_grows_from_several_parents_and_continues_the_first() -> None:
    tree = tree_of()
    a, b = (grow(tree, branch, 0, Finish.STOP) for branch in tree.ask(whole(tree, 2)))
    (joined,) = tree.ask(Expansion((b, a), ExpansionKind.JOIN))
    node = grow(tree, joined, 0, Finish.STOP)
    assert tree.node(node).inputs == (b, a)
    assert tree.children(a) == tree.children(b) == (tree.node(node),)
    assert tree.steps(node) == (*tree.steps(b), *tree.steps(node)[-1:])
    assert [base.text for base in tree.call(joined).bases] == ["0\n", "0\n"]
    tree.check()


def test_the_newest_version_of_a_verifier_is_the_one_that_counts() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    node = grow(tree, branch, 0, Finish.STOP)
    assert tree.score(node, "checker") is None
    tree.judge(node, Score(0.0, Source("checker", "1"), Verdict.REJECT))
    assert tree.accepted("checker") == ()
    tree.judge(node, Score(1.0, Source("checker", "2"), Verdict.ACCEPT))
    tree.judge(node, Score(0.0, Source("other", "1"), Verdict.REJECT))
    assert [each.id for each in tree.accepted("checker")] == [node]
    assert len(tree.scores(node)) == 3


def test_dropping_marks_and_forgets_nothing() -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    node = grow(tree, branch, 0, Finish.STOP)
    tree.drop([node])
    assert tree.is_dropped(node)
    assert not tree.is_dropped(tree.root)
    assert [each.id for each in tree.finished()] == [node]


def test_what_does_not_exist_cannot_be_asked_about() -> None:
    tree = tree_of()
    with pytest.raises(KeyError):
        tree.ask(Expansion((NodeId("nowhere"),), ExpansionKind.STEP))
    with pytest.raises(KeyError):
        tree.drop([NodeId("nowhere")])
    with pytest.raises(KeyError):
        tree.fail(Failed(BranchId("nowhere"), ""))
    for nothing in (Expansion((), ExpansionKind.STEP), whole(tree, 0)):
        with pytest.raises(ValueError, match="needs a parent"):
            tree.ask(nothing)


@given(st.data())
def test_no_sequence_of_events_corrupts_the_tree(data: st.DataObject) -> None:
    tree = tree_of()
    for _ in range(data.draw(st.integers(0, 25))):
        verb = data.draw(st.sampled_from(["ask", "grow", "grow", "fail"]))
        if verb == "ask":
            nodes = st.sampled_from([node.id for node in tree.nodes()])
            unique = tuple(dict.fromkeys(data.draw(st.lists(nodes, min_size=1, max_size=2))))
            tree.ask(Expansion(unique, ExpansionKind.STEP, data.draw(st.integers(1, 3))))
        elif tree.pending():
            branch = data.draw(st.sampled_from(tree.pending()))
            if verb == "fail":
                tree.fail(Failed(branch.id, ""))
            else:
                finish = data.draw(st.sampled_from([None, Finish.CUT, Finish.STOP]))
                grow(tree, branch, len(tree.chain(branch.id)), finish)
        tree.check()


@pytest.mark.parametrize("tear", ["child", "node", "open", "score"])
def test_check_finds_a_torn_tree(tear: str) -> None:
    tree = tree_of()
    (branch,) = tree.ask(whole(tree))
    grow(tree, branch, 0, Finish.STOP)
    if tear == "child":
        tree._children[tree.root].clear()  # pyright: ignore[reportPrivateUsage]
    elif tear == "node":
        tree._chains[branch.id].clear()  # pyright: ignore[reportPrivateUsage]
    elif tear == "open":
        tree._open[branch.id] = None  # pyright: ignore[reportPrivateUsage]
    else:
        tree._scores[NodeId("gone")] = {}  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(AssertionError):
        tree.check()
