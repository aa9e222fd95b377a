"""An adversary as a miner process: the bring-your-own-engine seam of `neurons/miner.py`.

`--miner.engine tests.zoo.miner:factory --miner.engine_option adversary=int4`
"""

from __future__ import annotations
