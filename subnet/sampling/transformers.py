"""The sampler as a `transformers` logits processor: any engine with such a hook can mine.

    processor = SeededSampling(seeds, samplings, prompt_length=ids.shape[1])
    model.generate(ids, logits_processor=LogitsProcessorList([processor]), do_sample=False)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from subnet.sampling.sampler import Sampling, sample


class SeededSampling:
    """Leaves exactly one token possible in each row: the one that the seed picks. Decode greedily behind it.

    seeds, samplings: one per row of the batch. prompt_length: columns of `input_ids` before the completion, padding
    included.
    """

    def __init__(self, seeds: Sequence[bytes], samplings: Sequence[Sampling], prompt_length: int) -> None:
        self.seeds = list(seeds)
        self.samplings = list(samplings)
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        position = input_ids.shape[1] - self.prompt_length
        tokens = sample(scores, self.seeds, [position] * len(self.seeds), self.samplings)
        only = torch.full_like(scores, -math.inf)
        only[torch.arange(len(tokens)), torch.from_numpy(tokens)] = 0.0
        return only
