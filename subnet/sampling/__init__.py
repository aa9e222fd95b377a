"""Seeded sampling that anybody can replay: counter-based noise, Gumbel-max, min-p."""

from subnet.sampling.noise import noise, noise_at
from subnet.sampling.sampler import Ranking, Sampling, host_logits, rank, sample, scores

__all__ = ["Ranking", "Sampling", "host_logits", "noise", "noise_at", "rank", "sample", "scores"]
