"""The adversary zoo: every miner row of the threat model, as code that tests, benchmarks and the localnet share.

`from tests.zoo.registry import ZOO` maps a name to an `Adversary` (and loads torch). Those with a `cheat` change how
tokens come about: `ZOO["int4"].cheat.engine(model).decode(jobs, batch=32)` stands in for
`subnet.engine.decode.decode(model, jobs, batch)`. Those with a `behaviour` change what is sent, or when;
`tests.zoo.miner:factory` runs both in a real miner process.
"""

from tests.zoo.rows import DEFAULT_ADVERSARIES, ROWS, Fate, descriptions

__all__ = ["DEFAULT_ADVERSARIES", "ROWS", "Fate", "descriptions"]
