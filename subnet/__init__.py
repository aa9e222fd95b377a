"""Assay: a Bittensor subnet for verified LLM inference."""

__version__ = "0.1.0"
