"""The good answers that training starts from, and where each comes from.

- hand-written pairs (`reward/data/answers_*.txt`), each with a fluent answer that is wrong;
- exact pairs made by a grammar (`exact_pairs`): arithmetic, units, dates, capitals, elements;
- the reference model's own answers to the hand-written and to synthetic prompts
  (`reward/data/generated.jsonl`, made by `scripts/train_reward.py --regenerate`).

Which pairs are held out is decided by the SHA-256 of the prompt, so that no spoilt version of a
held-out answer can slip into the training set, and adding pairs moves no old one.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources

from reward.model import Conversation, Message
from reward.text import whole_sentences
from subnet.errors import RewardError

HELD_OUT_PERCENT = 35
HAND_FILES = ("answers_a.txt", "answers_b.txt", "answers_c.txt")


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with a good answer; `wrong` is a fluent wrong one, `weak` are answers of worse models by name."""

    prompt: Conversation
    good: str
    wrong: str | None
    source: str
    weak: tuple[tuple[str, str], ...] = ()

    @property
    def held_out(self) -> bool:
        """True for the pairs that training never sees."""
        digest = hashlib.sha256(self.prompt.question.encode()).digest()
        return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def parse_answers(text: str) -> list[tuple[str, str, str]]:
    """(prompt, good, wrong) from the data format: '? ', '+ ' and '- ' open a part, '#' a comment before the first.

    A part runs to the next line that can open the part that must follow it.
    """
    triples: list[list[str]] = []
    order = ("? ", "+ ", "- ")
    part = 2
    for number, line in enumerate(text.splitlines(), 1):
        following = (part + 1) % 3
        if line.startswith(order[following]):
            part = following
            if part == 0:
                triples.append(["", "", ""])
            triples[-1][part] = line[2:]
        elif triples:
            triples[-1][part] += "\n" + line
        elif line and not line.startswith("#"):
            raise RewardError(f"line {number} of an answers file stands before the first '? ': {line[:60]!r}")
    for prompt, good, wrong in triples:
        if not (prompt and good and wrong):
            raise RewardError(f"the entry {prompt[:60]!r} lacks a good or a wrong answer")
    return [(prompt.strip(), good.strip(), wrong.strip()) for prompt, good, wrong in triples]


def hand_pairs() -> list[Pair]:
    """The hand-written pairs."""
    folder = resources.files("reward") / "data"
    return [
        Pair(Conversation.of(prompt), good, wrong, "hand")
        for name in HAND_FILES
        for prompt, good, wrong in parse_answers((folder / name).read_text(encoding="utf-8"))
    ]


def with_own_answers(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the reference model's own answer to the same prompt, where there is one, as `weak` "own"."""
    own = {pair.prompt: pair.good for pair in generated_pairs()}
    return [replace(pair, weak=(("own", own[pair.prompt]),)) if pair.prompt in own else pair for pair in pairs]


def generated_pairs() -> list[Pair]:
    """The reference model's own answers, with worse models' answers to the same prompt, all in whole sentences.

    Empty where they have not been generated.
    """
    path = resources.files("reward") / "data" / "generated.jsonl"
    if not path.is_file():
        return []
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answer = whole_sentences(row["answer"].strip())
        weak = ((name, whole_sentences(text.strip())) for name, text in sorted(row["weak"].items()))
        if len(answer.split()) >= 8:
            conversation = Conversation(tuple(Message(role, content) for role, content in row["messages"]))
            pairs.append(Pair(conversation, answer, None, "generated", tuple((n, t) for n, t in weak if t)))
    return pairs


CAPITALS = """France Paris,Japan Tokyo,Kenya Nairobi,Norway Oslo,Chile Santiago,Egypt Cairo,Canada Ottawa,Poland Warsaw,
Portugal Lisbon,Peru Lima,Greece Athens,Iceland Reykjavik,Austria Vienna,Cuba Havana,Ghana Accra,Hungary Budapest,
Ireland Dublin,Thailand Bangkok,Ukraine Kyiv,Finland Helsinki,Sweden Stockholm,Denmark Copenhagen,Italy Rome,
Spain Madrid,Turkey Ankara,Morocco Rabat,Vietnam Hanoi,Belgium Brussels,Bulgaria Sofia,Ecuador Quito"""
ELEMENTS = """hydrogen H,helium He,carbon C,nitrogen N,oxygen O,sodium Na,iron Fe,silver Ag,gold Au,lead Pb,tin Sn,
copper Cu,zinc Zn,calcium Ca,potassium K,chlorine Cl,neon Ne,mercury Hg,uranium U,magnesium Mg,silicon Si,sulphur S"""
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")


def exact_pairs(count: int, seed: int = 7) -> list[Pair]:
    """`count` different questions with one right answer, and the same answer with a wrong result."""
    draws = random.Random(seed)
    makers = (_sum, _product, _capital, _element, _distance, _change, _minutes, _weeks)
    pairs: dict[str, Pair] = {}
    while len(pairs) < count:
        prompt, good, wrong = makers[len(pairs) % len(makers)](draws)
        pairs.setdefault(prompt, Pair(Conversation.of(prompt), good, wrong, "exact"))
    return list(pairs.values())


def _table(text: str) -> list[tuple[str, str]]:
    rows = [row.split() for row in text.replace("\n", "").split(",")]
    return [(row[0], row[1]) for row in rows]


def _sum(draws: random.Random) -> tuple[str, str, str]:
    a, b = draws.randint(11, 99), draws.randint(11, 99)
    off = draws.choice((-20, -10, 10, 20, 30))
    text = "{} plus {} is {}. You can check it by taking {} away again."
    return f"What is {a} + {b}?", text.format(a, b, a + b, b), text.format(a, b, a + b + off, b)


def _product(draws: random.Random) -> tuple[str, str, str]:
    a, b = draws.randint(3, 12), draws.randint(3, 12)
    off = draws.choice((-5, 4, 7, 11))
    text = "{} times {} is {}."
    return f"How much is {a} times {b}?", text.format(a, b, a * b), text.format(a, b, a * b + off)


def _capital(draws: random.Random) -> tuple[str, str, str]:
    table = _table(CAPITALS)
    country, city = draws.choice(table)
    _, other = draws.choice([row for row in table if row[0] != country])
    ask = draws.choice(("What is the capital of {}?", "Which city is the capital of {}?", "Tell me the capital of {}."))
    text = "The capital of {} is {}. It is also the seat of the country's government."
    return ask.format(country), text.format(country, city), text.format(country, other)


def _element(draws: random.Random) -> tuple[str, str, str]:
    table = _table(ELEMENTS)
    name, symbol = draws.choice(table)
    _, other = draws.choice([row for row in table if row[0] != name])
    ask = draws.choice(("What is the chemical symbol for {}?", "Which symbol stands for {} in the periodic table?"))
    text = "The chemical symbol for {} is {}."
    return ask.format(name), text.format(name, symbol), text.format(name, other)


def _distance(draws: random.Random) -> tuple[str, str, str]:
    speed, hours = draws.randint(4, 13) * 10, draws.randint(2, 6)
    wrong = speed * hours + draws.choice((-50, -30, 40, 70))
    text = "It travels {} kilometres, because {} kilometres an hour for {} hours make {} × {} = {}."
    good = text.format(speed * hours, speed, hours, speed, hours, speed * hours)
    ask = f"A car drives at {speed} km/h for {hours} hours. How far does it go?"
    return ask, good, text.format(wrong, speed, hours, speed, hours, wrong)


def _change(draws: random.Random) -> tuple[str, str, str]:
    price, paid = draws.randint(3, 18), 20
    text = "You get {} euros back, since {} minus {} is {}."
    off = draws.choice((-2, 1, 2, 3))
    return (
        f"I pay for a book that costs {price} euros with a {paid} euro note. What change do I get?",
        text.format(paid - price, paid, price, paid - price),
        text.format(paid - price + off, paid, price, paid - price + off),
    )


def _minutes(draws: random.Random) -> tuple[str, str, str]:
    hours = draws.randint(2, 30)
    text = "{} hours are {} minutes, because an hour has 60 minutes."
    return f"How many minutes are {hours} hours?", text.format(hours, hours * 60), text.format(hours, hours * 100)


def _weeks(draws: random.Random) -> tuple[str, str, str]:
    day, weeks = draws.randint(1, 7), draws.randint(1, 3)
    month = draws.choice(MONTHS)
    text = "{} weeks after {} {} it is {} {}."
    number = ("One", "Two", "Three")[weeks - 1]
    text = text if weeks > 1 else text.replace("weeks", "week")
    later = day + 7 * weeks
    return (
        f"Today is {day} {month}. What date is it in {weeks} week{'s' if weeks > 1 else ''}?",
        text.format(number, day, month, later, month),
        text.format(number, day, month, later + draws.choice((-4, -3, 2, 3)), month),
    )
