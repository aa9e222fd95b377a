"""Adversaries that change how tokens come about. Each is the real engine with one thing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from subnet.engine.decode import Completion, DecodeJob, decode
from subnet.engine.replay import ReplayJob, replay_logits
from tests.zoo import numerics
from tests.zoo.sampling import Choose, answer_changed, continued, nearly_right, one_in, top_k, top_p

ModelChange = Callable[[Any], Any]
JobChange = Callable[[DecodeJob], DecodeJob]
AnswerChange = Callable[[DecodeJob, Completion, Any], Completion]
Decode = Callable[[Any, Sequence[DecodeJob], int], list[Completion]]


@dataclass(frozen=True, slots=True)
class Cheat:
    """How an adversary's engine differs from the honest one. What is None is honest.

    model: another model in place of the right one. job: another job than was asked for. choose: another choice of
    tokens. answer: the completion is changed afterwards. decode: all of it, (model, jobs, batch) -> completions.
    """

    model: ModelChange | None = None
    job: JobChange | None = None
    choose: Choose | None = None
    answer: AnswerChange | None = None
    decode: Decode | None = None

    def engine(self, model: Any) -> CheatingEngine:
        """The adversary's engine over the right model (changed once, here)."""
        return CheatingEngine(self, model, self.model(model) if self.model else model)


HONEST = Cheat()


@dataclass(frozen=True, slots=True)
class CheatingEngine:
    """A cheat with its model loaded: `decode` is a drop-in for the engine's own."""

    cheat: Cheat
    right_model: Any
    model: Any

    def decode(self, jobs: Sequence[DecodeJob], batch: int = 32) -> list[Completion]:
        """The completions that the adversary hands out for these jobs, in their order."""
        cheat = self.cheat
        asked = [cheat.job(job) for job in jobs] if cheat.job else list(jobs)
        if cheat.decode:
            made = cheat.decode(self.right_model, asked, batch)
        elif cheat.choose:
            made = decode(self.model, asked, batch=batch, choose=cheat.choose)
        else:
            made = decode(self.model, asked, batch=batch)
        if cheat.answer:
            made = [cheat.answer(job, completion, self.model) for job, completion in zip(jobs, made, strict=True)]
        return made


def wrong_seed(job: DecodeJob) -> DecodeJob:
    """Noise of the miner's own."""
    return replace(job, seed=hashlib.sha256(b"zoo/wrong-seed" + job.seed).digest())


def at_temperature(milli: int, job: DecodeJob) -> DecodeJob:
    """Another temperature than the request's."""
    return replace(job, sampling=replace(job.sampling, temperature_milli=milli))


def scaled_temperature(share: float, job: DecodeJob) -> DecodeJob:
    """The request's temperature times `share`: 1.25 makes 1.0 of 0.8."""
    return at_temperature(round(job.sampling.temperature_milli * share), job)


def system_prompt_dropped(job: DecodeJob) -> DecodeJob:
    """The first turn of the chat is left out: up to where the token that opens a turn appears again."""
    prompt = job.prompt
    again = prompt.index(prompt[0], 1) if prompt[0] in prompt[1:] else len(prompt) // 4
    return replace(job, prompt=prompt[again:])


def prompt_cut(job: DecodeJob) -> DecodeJob:
    """Only the last half of the prompt is read."""
    return replace(job, prompt=job.prompt[len(job.prompt) // 2 :])


def stops_early(job: DecodeJob, completion: Completion, model: Any) -> Completion:
    """Half of the answer, with an end of sequence put behind it."""
    kept = completion.tokens[: max(1, len(completion.tokens) // 2)]
    return Completion(tokens=(*kept[:-1], min(model.eos_ids)), finish="eos")


def pads_after_eos(job: DecodeJob, completion: Completion, model: Any) -> Completion:
    """Tokens behind the end of the sequence, up to the limit, to be paid for more."""
    missing = job.max_tokens - len(completion.tokens)
    if not missing:
        return completion
    return Completion(tokens=completion.tokens + (completion.tokens[-1],) * missing, finish="length")


def cached_answer(model: Any, jobs: Sequence[DecodeJob], batch: int) -> list[Completion]:
    """One answer, made for the first request, is sold to everybody."""
    made = decode(model, jobs[:1], batch=1)[0]
    return [replace_length(made, job.max_tokens) for job in jobs]


def copied_answer(job: DecodeJob) -> DecodeJob:
    """Another miner's answer to the same prompt: right model and sampling, but the other miner's seed."""
    return replace(job, seed=hashlib.sha256(b"zoo/another-miner" + job.seed).digest())


def replace_length(completion: Completion, max_tokens: int) -> Completion:
    """The completion cut to a limit."""
    if len(completion.tokens) <= max_tokens:
        return completion
    return Completion(tokens=completion.tokens[:max_tokens], finish="length")


def speculate(
    model: Any, jobs: Sequence[DecodeJob], batch: int, lenience: float = 0.5, block: int = 8
) -> list[Completion]:
    """Speculative decoding with a smaller model's drafts, where one within `lenience` logits of the best is accepted.

    The draft model uses the same noise, as a good implementation would: most drafts are then exactly right.
    """
    draft = numerics.smaller(model)
    made: list[list[int]] = [[] for _ in jobs]
    running = list(range(len(jobs)))
    while running:
        asked = [
            replace(
                jobs[i],
                prompt=(*jobs[i].prompt, *made[i]),
                max_tokens=min(block, jobs[i].max_tokens - len(made[i])),
            )
            for i in running
        ]
        offsets = {id(job): len(made[i]) for job, i in zip(asked, running, strict=True)}
        drafts = decode(draft, asked, batch=batch, choose=continued(offsets))
        checks = [ReplayJob(job.prompt, drafted.tokens) for job, drafted in zip(asked, drafts, strict=True)]
        for i, drafted, logits in zip(running, drafts, replay_logits(model, checks), strict=True):
            rows = logits.float().cpu().numpy()
            for token, row in zip(drafted.tokens, rows, strict=True):
                good, best = nearly_right(row, jobs[i].seed, len(made[i]), jobs[i].sampling, lenience)
                made[i].append(token if token in good else best)
                if token not in good or made[i][-1] in model.eos_ids:
                    break
        running = [i for i in running if made[i][-1] not in model.eos_ids and len(made[i]) < jobs[i].max_tokens]
    return [
        Completion(tokens=tuple(tokens), finish="eos" if tokens[-1] in model.eos_ids else "length") for tokens in made
    ]


def sometimes(cheat: Cheat, one_in_n: int) -> Cheat:
    """The cheat on one request in `one_in_n` (chosen by the seed), honest on the others."""

    def mixed(model: Any, jobs: Sequence[DecodeJob], batch: int) -> list[Completion]:
        cheated = [int.from_bytes(job.seed[:4], "big") % one_in_n == 0 for job in jobs]
        made: dict[int, Completion] = {}
        for use, engine in ((True, cheat.engine(model)), (False, HONEST.engine(model))):
            chosen = [i for i, yes in enumerate(cheated) if yes is use]
            if chosen:
                made.update(zip(chosen, engine.decode([jobs[i] for i in chosen], batch), strict=True))
        return [made[i] for i in range(len(jobs))]

    return Cheat(decode=mixed)


CHEATS: dict[str, Cheat] = {
    "smaller_model": Cheat(model=numerics.smaller),
    "layer_skipped": Cheat(model=numerics.one_layer_skipped),
    # The proofs that it forges by reading with the right model have nowhere to go: the protocol carries tokens alone.
    "smaller_then_prefill": Cheat(model=numerics.smaller),
    "int4": Cheat(model=partial(numerics.changed_weights, change=numerics.int4_groups)),
    "int8": Cheat(model=partial(numerics.changed_weights, change=numerics.int8_per_row)),
    "int8_dynamic": Cheat(model=numerics.int8_dynamic),
    "fp8": Cheat(model=partial(numerics.changed_weights, change=numerics.fp8_scaled)),
    "int8_activations": Cheat(
        model=lambda model: model.with_hooks(
            numerics.ForwardHooks(linear_input=lambda x, name: numerics.int8_blocks(x))
        )
    ),
    "fine_tuned": Cheat(model=numerics.fine_tuned),
    "fp8_kv": Cheat(model=partial(numerics.cache_rounded, rounded=numerics.fp8_plain)),
    "int8_kv": Cheat(model=partial(numerics.cache_rounded, rounded=numerics.int8_per_token)),
    "evicted_kv": Cheat(model=lambda model: model.with_hooks(numerics.ForwardHooks(attend_window=64))),
    "early_exit": Cheat(model=numerics.early_exit),
    "lenient_speculation": Cheat(decode=speculate),
    "temperature_high": Cheat(job=partial(scaled_temperature, 1.25)),
    "temperature_low": Cheat(job=partial(scaled_temperature, 0.75)),
    "greedy": Cheat(job=partial(at_temperature, 0)),
    "top_p": Cheat(choose=top_p(0.9)),
    "top_k": Cheat(choose=top_k(50)),
    "wrong_seed": Cheat(job=wrong_seed),
    "prompt_tampering": Cheat(job=system_prompt_dropped),
    "prompt_cut": Cheat(job=prompt_cut),
    "truncates": Cheat(answer=stops_early),
    "pads": Cheat(answer=pads_after_eos),
    "copies": Cheat(job=copied_answer),
    "cached": Cheat(decode=cached_answer),
    "one_token": Cheat(choose=one_in(100)),
    "answer_token": Cheat(choose=answer_changed),
}
CHEATS["bluffs"] = CHEATS["wrong_seed"]
CHEATS["selective"] = sometimes(CHEATS["int4"], 4)
