"""What the kernels come to on this machine: compiled once, kept as machine code, loaded by others.

LLVM comes with llvmlite, so no compiler is asked of the machine. For fp32 on a CPU.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, Final

import torch

from mull.engine import kept_code
from mull.engine.blocks import BLOCK
from mull.models.config import ModelConfig
from mull.models.inference import MARGIN, PANEL

binding: Any = import_module("llvmlite.binding")  # it has no types

LANES: Final = 16
"""Numbers that are computed at once: heads are multiples of it."""
KERNELS: Final = ("kernel_arithmetic", "kernel_attention", "kernels")
SOURCES: Final = (*KERNELS, "compiled", "frames", "lanes", "translation")
EXPORTED: Final = ("attend", "draw", "enter", "forward", "gate", "norm", "packed", "publish")


class Compiled:
    """The compiled functions that are called from here. Arguments are addresses and numbers."""

    def __init__(self, code: bytes) -> None:
        self._engine: Final = binding.create_mcjit_compiler(binding.parse_assembly(""), _target())
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.forward: Final = self._function("forward", 2)
        """Of a model and a frame; see frames.py."""
        self.enter: Final = self._function("enter", 4)
        """A part of it; so is `attend`."""
        self.attend: Final = self._function("attend", 4)
        self.draw: Final = self._function("draw", 6)
        self.gate: Final = self._function("gate", 4)
        self.norm: Final = self._function("norm", 4)
        self.publish: Final = self._function("publish", 8)
        self.multiply: Final = self._function("packed", 8)

    def _function(self, name: str, num_arguments: int) -> Callable[..., None]:
        kind = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * num_arguments)
        function: Any = kind(self._engine.get_function_address(name))
        function.engine = self._engine  # the code is gone when the engine is
        return function


def serves(config: ModelConfig, dtype: torch.dtype, device: str) -> bool:
    """Whether models of this shape are compiled for."""
    return dtype == torch.float32 and device == "cpu" and config.head_dim % LANES == 0


@cache
def compiled() -> Compiled:
    """The functions, for this process."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    path = kept_code.place(f"{_digest()}.o")
    code = kept_code.read(path)
    if code is None:
        code = _built()
        kept_code.write(path, code)
    return Compiled(code)


def _built() -> bytes:
    # What translates is needed once, not by every engine.
    kernels = [import_module(f"mull.engine.{name}") for name in KERNELS]
    translated = import_module("mull.engine.translation").translated
    module = binding.parse_assembly(translated(kernels, EXPORTED))
    machine = _target()
    # Kernels say themselves what is computed side by side.
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = False
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


def _target() -> Any:
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        jit=True,
    )


def _digest() -> str:
    """Of all that the code depends on: what was built for one processor may not run on another."""
    sources = [(files("mull.engine") / f"{name}.py").read_bytes() for name in SOURCES]
    machine = (
        f"{MARGIN} {PANEL} {BLOCK}",  # that are said elsewhere
        binding.get_default_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        repr(binding.llvm_version_info),
    )
    made_of = b"\0".join((*sources, "\n".join(machine).encode()))
    return hashlib.sha256(made_of).hexdigest()[:32]
