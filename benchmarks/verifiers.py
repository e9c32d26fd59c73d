"""What a verdict costs, beside the plain way to get one, in one run.

    python benchmarks/verifiers.py [--checks 200] [--slots 2]

Prints checks a second, two at once: a bare interpreter a check, and the sandbox at each level this
machine offers; a fresh process that imports the algebra a verdict, and maths answers that need no
algebra, and those that do. The ratios are to the plain way of the same run, so they hold on a busy
machine too.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from mull.core.errors import VerifierError
from mull.verifiers.maths import AlgebraPool, MathsEquality
from mull.verifiers.sandbox import Level, Sandbox

PROGRAM: Final = "def double(n):\n    return 2 * n\nprint(double(21))\n"
FRESH: Final = (
    "import math_verify as m, sys; "
    "sys.exit(not m.verify(m.parse('$\\\\frac{1}{2}$'), m.parse('$0.5$')))"
)


async def rate(check: Callable[[int], Awaitable[object]], count: int, *, lanes: int) -> float:
    """Checks a second, with `lanes` of them at once."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await check(number)

    started = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return count / (time.perf_counter() - started)


async def fresh_process(program: str, *flags: str) -> None:
    """One interpreter for one check."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *flags, "-c", program, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise SystemExit("a plain check failed")


def report(name: str, per_second: float, plain: float) -> None:
    """One line of the table."""
    sys.stdout.write(f"{name:42} {per_second:10,.1f} a second {per_second / plain:8.1f} times\n")


async def measure_programs(count: int, slots: int) -> None:
    """A real Python program a check."""
    plain = await rate(lambda _: fresh_process(PROGRAM), count // 2, lanes=slots)
    report("bare `python -c` a check", plain, plain)
    bare = await rate(lambda _: fresh_process(PROGRAM, "-I", "-S"), count // 2, lanes=slots)
    report("bare `python -I -S -c` a check", bare, plain)
    for level in Level:
        try:
            opened = await Sandbox.open(level, num_slots=slots)
        except VerifierError as error:
            sys.stdout.write(f"{level.value}: {error}\n")
            continue
        async with opened as sandbox:
            await rate(lambda _: sandbox.run(PROGRAM), 2 * slots, lanes=slots)
            report(
                f"sandbox, {level.value}",
                await rate(lambda _: sandbox.run(PROGRAM), count, lanes=slots),
                plain,
            )


async def measure_maths(count: int, slots: int) -> None:
    """Answers that differ every time, so that no cache helps."""
    plain = await rate(lambda _: fresh_process(FRESH), 2 * slots, lanes=slots)
    report("a fresh process with the algebra a verdict", plain, plain)
    async with MathsEquality(AlgebraPool(size=slots, seconds=10.0)) as equality:
        await equality.same(r"\sqrt{8}", r"2\sqrt{2}")
        easy = await rate(
            lambda n: equality.check(rf"so it is \boxed{{\frac{{{n}}}{{2}}}}", str(n / 2)),
            20 * count,
            lanes=slots,
        )
        report("maths, no algebra needed", easy, plain)
        hard = await rate(
            lambda n: equality.same(rf"{n}\sqrt{{8}}", rf"{2 * n}\sqrt{{2}}"), count, lanes=slots
        )
        report("maths, by algebra", hard, plain)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--slots", type=int, default=2)
    arguments = parser.parse_args()
    asyncio.run(measure_programs(arguments.checks, arguments.slots))
    asyncio.run(measure_maths(arguments.checks, arguments.slots))


if __name__ == "__main__":
    main()
