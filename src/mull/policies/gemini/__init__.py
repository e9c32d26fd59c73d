"""Gemini models behind Google's own API."""

from mull.policies.gemini.connect import gemini_address, gemini_key_variable, open_gemini_policy
from mull.policies.gemini.wire import GeminiThinking

__all__ = ["GeminiThinking", "gemini_address", "gemini_key_variable", "open_gemini_policy"]
