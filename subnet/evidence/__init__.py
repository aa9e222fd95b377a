"""Evidence that convinces a stranger: bundles, their replay, the ledger that keeps them, and what an accusation costs.

Nothing here talks to the network or to a chain: block hashes, models and stored bytes are handed in.
"""
