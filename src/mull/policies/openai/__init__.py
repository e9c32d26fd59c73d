"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, and hosted ones."""

from mull.policies.openai.address import DEFAULT_KEY_VARIABLE, Address, ApiKey
from mull.policies.openai.client import Timeouts
from mull.policies.openai.connect import OpenAISettings, open_openai_policy
from mull.policies.openai.dialects import DIALECTS, Siblings, WireKind
from mull.policies.openai.growth import Retries
from mull.policies.openai.policy import OpenAIPolicy

__all__ = [
    "DEFAULT_KEY_VARIABLE",
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
