"""Held-out workloads: contexts that no profile was fitted to, ordinary and made to break honest miners.

Ordinary questions come from the validators' own prompt generator; the others from lists that share nothing with those
of `subnet.verify.workloads`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from reward.prompts import generate
from subnet.models.chat import ChatTokenizer
from subnet.sampling import Sampling
from subnet.verify.workloads import Workload, within_turn

Prompt = Callable[[ChatTokenizer, int], tuple[int, ...]]

SEED = b"detection benchmark, held out..."

CODE = (
    "Write a Go program that counts the words of a file with a worker pool.",
    "Implement quicksort in Haskell and state its complexity.",
    "Write a Makefile for a library with tests and an install target.",
    "Show a Java class for a least-recently-used cache.",
    "Write a YAML file for a pipeline with three jobs.",
    'Parse this JSON in Ruby and print every key: {"a": [1, 2, {"b": null}]}',
    "Write a matrix product in Fortran with three nested loops.",
    "Explain this line: `x = [[0] * n for _ in range(m)]`, and write it in Perl.",
    "Write a PostgreSQL trigger that keeps a history of changed rows.",
    "Write assembly for x86 that adds two 128-bit numbers.",
)
DIGITS = (
    "Write the powers of two from 2^0 to 2^40.",
    "List all leap years from 1900 to 2024.",
    "Make a table of Celsius and Fahrenheit from -20 to 40.",
    "Write 30 random IPv4 addresses.",
    "Continue: 1, 1, 2, 3, 5, 8, 13,",
    "Write 25 dates of the year 2031 in ISO format.",
    "0123456789 9876543210 0123456789 98765",
    "Compute 12345 * 6789 step by step, with every partial product.",
)
EMOJI = (
    "🚗🚕🚙🚌🚎 continue this row for a long time",
    "Say good night in emoji, ten different ways. 🌙",
    "Напиши смешанный текст: русский, 日本語, 한국어 and emoji 🎎",
    "Which emoji stand for the planets? 🪐",
    "👩‍👩‍👧‍👦 👨‍🚀 🏳️‍🌈 what are these, and which come next?",
    "अपने दिन के बारे में इमोजी में लिखें। 🌞",
    "Draw a chess board out of symbols ♜♞♝♛♚",
)


def _generated(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
    return tokenizer.chat([dict(message) for message in generate(SEED, index).conversation.as_dicts()])


def _listed(texts: tuple[str, ...]) -> Prompt:
    def prompt(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
        system = [{"role": "system", "content": f"Assistant number {index}."}] if index >= len(texts) else []
        return tokenizer.chat([*system, {"role": "user", "content": texts[index % len(texts)]}])

    return prompt


def _random_tokens(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
    draw = random.Random(f"held out {index}")
    return within_turn(tokenizer, [draw.randrange(17, 49_000) for _ in range(64)])


def _long(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
    earlier = [generate(SEED, 100_000 + 100 * index + number).conversation.question for number in range(40)]
    text = "\n".join(f"{number}. {question}" for number, question in enumerate(earlier))
    return tokenizer.chat([{"role": "user", "content": f"{text}\nAnswer question {index % 40} in three paragraphs."}])


HELD = {
    workload.name: workload
    for workload in (
        Workload("held_general", Sampling(800), _generated),
        Workload("held_hot", Sampling(1600), _generated),
        Workload("held_cool", Sampling(250), _generated),
        Workload("held_min_p", Sampling(1100, 40_000), _generated),
        Workload("held_code", Sampling(800), _listed(CODE)),
        Workload("held_code_cool", Sampling(400), _listed(CODE)),
        Workload("held_digits", Sampling(800), _listed(DIGITS)),
        Workload("held_digits_cool", Sampling(300), _listed(DIGITS)),
        Workload("held_emoji", Sampling(1000), _listed(EMOJI)),
        Workload("held_random", Sampling(800), _random_tokens),
        Workload("held_random_hot", Sampling(2000), _random_tokens),
        Workload("held_long", Sampling(800), _long, 96),
        Workload("held_greedy", Sampling(0), _generated),
    )
}
HELD_BREAKING = tuple(name for name in HELD if name != "held_general")
