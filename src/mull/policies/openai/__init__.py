"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, and hosted ones."""

from mull.policies.openai.connect import OpenAISettings, open_openai_policy
from mull.policies.openai.dialects import DIALECTS, Siblings, WireKind
from mull.policies.openai.policy import OpenAIPolicy
from mull.policies.remote.address import Address, ApiKey
from mull.policies.remote.client import Timeouts
from mull.policies.remote.growth import Retries

__all__ = [
    "DIALECTS",
    "Address",
    "ApiKey",
    "OpenAIPolicy",
    "OpenAISettings",
    "Retries",
    "Siblings",
    "Timeouts",
    "WireKind",
    "open_openai_policy",
]
