"""The configuration as lines for people. Secrets are never shown."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from subnet.config.load import Loaded
from subnet.config.setting import settings


def describe(loaded: Loaded) -> Iterator[str]:
    """One line a setting: `name = value`, and where it came from when it is not a default."""
    for leaf in settings(type(loaded.config)):
        value = functools.reduce(getattr, leaf.path, loaded.config)
        shown = "********" if leaf.secret and value else repr(value)
        source = loaded.sources.get(leaf.name)
        yield f"{leaf.name} = {shown}" + (f"  ({source})" if source else "")
