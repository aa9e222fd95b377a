"""The miner: an engine behind an axon, with secrets it committed to, and every signed answer kept for its defence."""
