"""The names of the zoo: what each adversary does, and what must become of it. Light: imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    """What must become of an adversary."""

    REPLAY = "caught by replay"
    PARSE = "rejected by the protocol's own checks, with a reason"
    SCORE = "scored down, never slashed"
    ECONOMY = "gains nothing: judged by rewards and standings, not by one answer"


@dataclass(frozen=True, slots=True)
class Row:
    """One adversary by name. `group` is its row in the threat model's table."""

    group: str
    does: str
    fate: Fate


ROWS: dict[str, Row] = {
    "smaller_model": Row("smaller_model", "decodes with a smaller model", Fate.REPLAY),
    "layer_skipped": Row("smaller_model", "leaves out one decoder layer", Fate.REPLAY),
    "smaller_then_prefill": Row(
        "smaller_then_prefill", "decodes with a small model, reads with the right one to forge log-probs", Fate.REPLAY
    ),
    "int4": Row("quantised", "int4 weights in groups of 128", Fate.REPLAY),
    "int8": Row("quantised", "int8 weights, a scale per channel", Fate.REPLAY),
    "int8_dynamic": Row("quantised", "int8 weights and activations, a scale per tensor", Fate.REPLAY),
    "fp8": Row("quantised", "fp8 e4m3 weights", Fate.REPLAY),
    "int8_activations": Row("quantised", "int8 activations in blocks of 32", Fate.REPLAY),
    "fine_tuned": Row("quantised", "a lightly fine-tuned copy of the model", Fate.REPLAY),
    "temperature_high": Row("wrong_sampling", "1.25 times the requested temperature", Fate.REPLAY),
    "temperature_low": Row("wrong_sampling", "0.75 times the requested temperature", Fate.REPLAY),
    "greedy": Row("wrong_sampling", "always the likeliest token", Fate.REPLAY),
    "top_p": Row("wrong_sampling", "top-p 0.9 slipped in", Fate.REPLAY),
    "top_k": Row("wrong_sampling", "top-k 50 slipped in", Fate.REPLAY),
    "wrong_seed": Row("wrong_sampling", "right model, noise of its own", Fate.REPLAY),
    "fp8_kv": Row("kv_tricks", "fp8 keys and values", Fate.REPLAY),
    "int8_kv": Row("kv_tricks", "int8 keys and values", Fate.REPLAY),
    "evicted_kv": Row("kv_tricks", "keeps the first 4 and last 64 positions", Fate.REPLAY),
    "prompt_cut": Row("kv_tricks", "reads the last half of the prompt", Fate.REPLAY),
    "lenient_speculation": Row("lenient_speculation", "accepts drafts that are nearly right", Fate.REPLAY),
    "early_exit": Row("early_exit", "leaves after two thirds of the layers on easy tokens", Fate.REPLAY),
    "one_token": Row("one_token", "one arbitrary token in a hundred", Fate.REPLAY),
    "answer_token": Row("one_token", "changes the token that carries the answer", Fate.REPLAY),
    "prompt_tampering": Row("prompt_tampering", "drops the system prompt", Fate.REPLAY),
    "truncates": Row("truncates", "half of the answer, with a false end", Fate.REPLAY),
    "pads": Row("truncates", "tokens after the end of the answer", Fate.PARSE),
    "copies": Row("copies", "another miner's answer to the same prompt", Fate.REPLAY),
    "cached": Row("copies", "one answer for everybody", Fate.REPLAY),
    "selective": Row("selective", "int4 on one request in four", Fate.REPLAY),
    "tampers": Row("tampers", "text that is not the decoding of the tokens", Fate.PARSE),
    "forges": Row("forges", "a made-up secret", Fate.PARSE),
    "forges_chain": Row("forges", "denies its previous answer", Fate.PARSE),
    "aborts": Row("aborts", "hangs up on every third answer", Fate.SCORE),
    "aborts_midway": Row("aborts", "streams every third answer and hangs up before it signs", Fate.SCORE),
    "bluffs": Row("aborts", "streams tokens of its own noise and never signs", Fate.SCORE),
    "refuses": Row("refuses", "answers only short requests", Fate.SCORE),
    "slow": Row("slow", "waits ten seconds before it answers", Fate.SCORE),
    "offline": Row("offline", "answers nothing at all", Fate.SCORE),
    "flaky": Row("flaky", "fails on every other request", Fate.SCORE),
    "sybil": Row("sybil", "many hotkeys on one machine", Fate.ECONOMY),
    "hotkey_swap": Row("hotkey_swap", "a new hotkey on an old uid", Fate.ECONOMY),
}

DEFAULT_ADVERSARIES = ("int4", "wrong_seed", "fp8_kv")
"""The three that the localnet starts unless told otherwise."""


def descriptions() -> dict[str, str]:
    """Name to one short phrase, for help texts."""
    return {name: row.does for name, row in ROWS.items()}
