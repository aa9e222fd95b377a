"""Runs a miner: `python neurons/miner.py --netuid 1 --wallet.name my --wallet.hotkey miner`. See docs/miner.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from subnet.miner.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
