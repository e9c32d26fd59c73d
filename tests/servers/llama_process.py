"""A real llama.cpp server, as a process of its own: `python llama_process.py MODEL.gguf SLOTS`.

It prints its address once it listens, and ends when its standard input does.
"""

import sys
from importlib import import_module
from typing import Any

xllamacpp: Any = import_module("xllamacpp")  # it has no types


def main() -> None:
    path, slots = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"tiny"}
    params.port = 0
    params.n_parallel = int(slots)
    params.n_ctx = 16_384
    params.kv_unified = True  # `n` samples of one prompt share its cache
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = True
    params.endpoint_slots = True
    # In its default, fp16, what is remembered is not quite what was computed.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.use_jinja = True
    params.cache_ram_mib = 64
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
