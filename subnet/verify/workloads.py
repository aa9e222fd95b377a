"""What the detection benchmark asks: ordinary questions, and contexts chosen to make honest float noise as large as
it gets.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from subnet.models.chat import ChatTokenizer
from subnet.sampling import Sampling

SYSTEM = "You are a careful assistant. Answer in clear, complete sentences, and say so when you are not sure."

QUESTIONS = (
    "How do bees find their way back to the hive?",
    "Write a short story about a lighthouse keeper who collects maps.",
    "What should I pack for three days of hiking in the rain?",
    "Explain compound interest to a teenager.",
    "Why is the sky dark at night although there are so many stars?",
    "Give me a recipe for lentil soup and explain each step.",
    "Describe the water cycle.",
    "What are good questions to ask in a job interview?",
    "Write a poem about an old bicycle.",
    "How does a refrigerator keep food cold?",
    "Summarise the causes of the French Revolution.",
    "Draft a polite email asking a neighbour to turn the music down.",
    "What is the difference between weather and climate?",
    "Plan a weekend in a small town by the sea.",
    "How do vaccines train the immune system?",
    "Invent three names for a bakery and explain them.",
    "What makes a good teacher?",
    "Explain how a bill becomes a law.",
    "How can I fall asleep more easily?",
    "Compare cats and dogs as pets for a small flat.",
    "What is photosynthesis, and why does it matter?",
    "Tell me a joke and then explain why it is funny.",
    "Why did the Roman Empire decline?",
    "How do I start a vegetable garden on a balcony?",
    "Write a dialogue between the moon and the sea.",
    "What are the advantages of public transport?",
    "Explain what a black hole is without using formulas.",
    "Give me tips for learning a new language.",
    "Describe a busy market in the morning.",
    "How is paper made from trees?",
    "What can a city do against heat in summer?",
    "Write instructions for folding a paper boat.",
    "Why do we dream?",
    "What should a beginner know about investing?",
    "Tell the story of the invention of the telephone.",
    "How do earthquakes happen?",
    "Suggest a birthday present for somebody who has everything.",
    "What is democracy, and where did it begin?",
    "Describe the taste of an orange to somebody who never ate one.",
    "How would you organise a small library?",
)

CODE = (
    "Write a Python function that returns the n-th Fibonacci number, with tests.",
    "Write a C program that reverses a linked list.",
    "Show a bash script that renames all .txt files in a folder to lower case.",
    "Write an SQL query that finds the three best customers of every month.",
    "Implement binary search in JavaScript and explain its invariant.",
    "Write a Rust struct for a bounded queue with push and pop.",
    "Write a regular expression for ISO dates and a test table in Python.",
    "Write HTML and CSS for a page with a header and two columns.",
)

DIGITS = (
    "List the first 60 prime numbers separated by commas.",
    "Write 100 random digits without spaces.",
    "Print the multiplication table of 17 up to 17 * 20.",
    "Write the digits of pi as far as you know them: 3.14159",
    "List the squares of all numbers from 1 to 40.",
    "Write a table of 20 made-up phone numbers.",
    "Continue the list: 4, 8, 15, 16, 23, 42,",
    "Count down from 200 to 120, one number per line.",
)

EMOJI = (
    "Answer with emoji only: how was your day? 😀🎉🌧️",
    "Write a story of twenty emoji and nothing else.",
    "Translate to emoji: the cat sleeps on the warm roof. 🐱",
    "Repeat and continue: 🍎🍐🍊🍋🍌🍉🍇",
    "Describe every month of the year with three emoji. 🗓️",
    "Mix Chinese, Arabic and Greek words in one sentence: 你好 مرحبا γειά",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A set of prompts with a way of sampling. prompt(tokenizer, index) gives token ids; any index will do."""

    name: str
    sampling: Sampling
    prompt: Callable[[ChatTokenizer, int], tuple[int, ...]]
    max_tokens: int = 128


def _ask(questions: tuple[str, ...], system: bool = True) -> Callable[[ChatTokenizer, int], tuple[int, ...]]:
    def prompt(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
        messages = [{"role": "system", "content": SYSTEM}] if system else []
        return tokenizer.chat([*messages, {"role": "user", "content": questions[index % len(questions)]}])

    return prompt


def within_turn(tokenizer: ChatTokenizer, content: Sequence[int]) -> tuple[int, ...]:
    """A user's turn that consists of these tokens, which need not be text."""
    one, two = (tokenizer.chat([{"role": "user", "content": text}]) for text in ("a", "b"))
    place = next(i for i, (x, y) in enumerate(zip(one, two, strict=True)) if x != y)
    return (*one[:place], *content, *one[place + 1 :])


def _random_tokens(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
    draw = random.Random(index)
    return within_turn(
        tokenizer, [draw.randrange(17, min(49_000, tokenizer.tokenizer.get_vocab_size())) for _ in range(48)]
    )


def _long(tokenizer: ChatTokenizer, index: int) -> tuple[int, ...]:
    draw = random.Random(index)
    facts = " ".join(f"{draw.choice(QUESTIONS + CODE)} Note {number}." for number in range(90))
    text = f"Here are notes: {facts}\nSummarise them and answer number {index}."
    return tokenizer.chat([{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}])


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("general", Sampling(800), _ask(QUESTIONS)),
        Workload("hot", Sampling(1500), _ask(QUESTIONS)),
        Workload("cool", Sampling(300), _ask(QUESTIONS)),
        Workload("min_p", Sampling(1000, 50_000), _ask(QUESTIONS)),
        Workload("code", Sampling(800), _ask(CODE)),
        Workload("digits", Sampling(800), _ask(DIGITS, system=False)),
        Workload("digits_cool", Sampling(300), _ask(DIGITS, system=False)),
        Workload("emoji", Sampling(1000), _ask(EMOJI, system=False)),
        Workload("random", Sampling(800), _random_tokens),
        Workload("random_hot", Sampling(2000), _random_tokens),
        Workload("long", Sampling(800), _long, 96),
        Workload("greedy", Sampling(0), _ask(QUESTIONS)),
    )
}
BREAKING = tuple(name for name in WORKLOADS if name != "general")

_FAMILIES = {
    "general": ("hot", "cool", "min_p", "greedy"),
    "digits": ("digits_cool",),
    "random": ("random_hot",),
}


def family(workload: str) -> str:
    """The workload whose prompts a workload asks at another sampling; itself where there is none."""
    return next((first for first, others in _FAMILIES.items() if workload in others), workload)
