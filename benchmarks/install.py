"""What an install of the gateway weighs, and how soon it is ready.

    python benchmarks/install.py [--rounds 5]

Makes a virtual environment and installs `mull[serve]` there with the pins of `constraints.txt`, as
pip does it: bytecode, metadata and all. Megabytes are what the files take on disk (10^6 bytes,
blocks and all); pip's own are not counted, and the shipped weights are named apart. Then starts
`mull serve` before a server that is not busy, and takes its processor time until it listens.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gateway import bare_server, mull, say

ROOT = Path(__file__).parents[1]
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
ENGINE = ("engine", "models", "training")
"""Rooms that nothing but a checkpoint needs."""
SHOWN = 8


def size(path: Path) -> float:
    """Megabytes on disk."""
    found = [path, *path.rglob("*")]
    return sum(each.lstat().st_blocks * 512 for each in found) / 1e6


def weigh(python: Path) -> None:
    packages = python.parents[1] / f"lib/python3.{sys.version_info.minor}/site-packages"
    sizes = Counter(
        {each.name: size(each) for each in packages.iterdir() if not each.name.startswith(NOT_OURS)}
    )
    weights = size(packages / "mull/checkpoints")
    engine = sum(size(packages / "mull" / room) for room in ENGINE)
    total = sum(sizes.values())
    say(f"mull[serve]: {total:.1f} MB; without the shipped weights {total - weights:.1f} MB, "
        f"without what runs and trains weights {total - weights - engine:.1f} MB")  # fmt: skip
    say(", ".join(f"{name} {each:.1f}" for name, each in sizes.most_common(SHOWN)))


async def start(python: Path, rounds: int) -> None:
    async with bare_server(19_001) as bare:
        for _ in range(rounds):
            async with mull(bare, str(python)):
                pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin/python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(  # noqa: S603
            [*install, "-c", ROOT / "constraints.txt", f"{ROOT}[serve]"], check=True
        )
        weigh(python)
        asyncio.run(start(python, options.rounds))


if __name__ == "__main__":
    main()
