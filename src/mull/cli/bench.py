"""`mull bench`: how fast the engine is, beside others, in one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from mull.build import needs_extra
from mull.cli.output import say, show, show_json, show_table

if TYPE_CHECKING:
    from mull.evaluation.speed import Limits, Speed

EXAMPLES: Final = """\
Examples:

mull bench engine

mull bench engine --workload best-of-64 --repeats 5 --json"""

RepeatsOption = Annotated[int, typer.Option("--repeats", help="Of each workload.", min=1)]
WorkloadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--workload", help="one, best-of-64, tree or mixed; again for more; all by default."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def engine(
    *, repeats: RepeatsOption = 3, workload: WorkloadOption = None, as_json: JsonOption = False
) -> None:
    """Tokens per CPU-second of mull's engine, of Hugging Face `generate` and of llama.cpp.

    Random weights, 4.9 M parameters, one thread each; what is not installed is left out.
    """
    with needs_extra("local", "the engine"):
        import torch

        from mull.evaluation import rivals, speed
    torch.set_num_threads(1)
    chosen = [speed.workload_named(name) for name in workload or speed.WORKLOADS]
    with (
        TemporaryDirectory() as name,
        rivals.opened(rivals.write_model(Path(name)), say) as runners,
    ):
        limits = speed.limits()
        results = {each.name: speed.measure(each, runners, repeats=repeats) for each in chosen}
        told = {each.name: each.stats() for each in runners if isinstance(each, rivals.Ours)}
    if as_json:
        show_json("engine_bench", speed.document(results, limits))
    else:
        _show(results, limits)
        for name, stats in told.items():
            show(
                f"{name}: {stats.hit_rate:.0%} of known tokens were not read again, "
                f"{stats.rows_a_turn:.1f} rows a turn, {stats.tokens_per_second:,.0f} tokens a "
                f"second in turns, {stats.num_idle} of {stats.max_blocks:,} blocks kept"
            )


def _show(results: Mapping[str, Sequence["Speed"]], limits: "Limits") -> None:
    from mull.evaluation.speed import WORKLOADS, ours, share_of_matrix_rate

    for name, speeds in results.items():
        best = ours(speeds)
        table = Table(name, "tokens per CPU-second", "mull is faster by")
        for each in speeds:
            table.add_row(each.engine, f"{each.typical:,.0f}", _times(best.over(each)))
        show_table(table)
        if name == WORKLOADS["best-of-64"].name:
            show(f"{share_of_matrix_rate(best, limits):.0%} of the matrix rate at 64 rows")
    show(
        f"matrix rate at 64 rows, fp32: {limits.matrix_flops / 1e9:.0f} GFLOP/s; "
        f"reading memory: {limits.read_bytes / 1e9:.0f} GB/s"
    )


def _times(ratios: tuple[float, float, float]) -> str:
    """The median of a repeat's ratios, the least and the most."""
    median, least, most = ratios
    return f"{median:.2f} ({least:.2f} to {most:.2f})"
