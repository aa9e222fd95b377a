"""The engine: the forward pass, decoding with continuous batching for miners, batched replay for validators.

It knows models and token ids. It does not know chains, requests or verdicts.
"""
