"""Models: what they are (manifests), where they come from (provenance), and loading them.

Importing this package imports no torch; `load_model` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from subnet.models.manifest import Manifest
from subnet.models.registry import DEFAULT_MODEL, builtin_manifest, builtin_manifests, find_model

if TYPE_CHECKING:
    from subnet.models.chat import load_tokenizer
    from subnet.models.loading import load_model

__all__ = [
    "DEFAULT_MODEL",
    "Manifest",
    "builtin_manifest",
    "builtin_manifests",
    "find_model",
    "load_model",
    "load_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from subnet.models.loading import load_model

        return load_model
    if name == "load_tokenizer":
        from subnet.models.chat import load_tokenizer

        return load_tokenizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
