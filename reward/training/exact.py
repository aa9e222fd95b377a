"""Questions with one right answer, made by a grammar: arithmetic, units, dates, and facts from small tables.

Every question has a terse and a full answer, and to each the same answer with a wrong result, so that length and
style say nothing about which one is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from reward.model import Conversation
from reward.training.pairs import Pair

CAPITALS = """France Paris,Japan Tokyo,Kenya Nairobi,Norway Oslo,Chile Santiago,Egypt Cairo,Canada Ottawa,Poland Warsaw,
Portugal Lisbon,Peru Lima,Greece Athens,Iceland Reykjavik,Austria Vienna,Cuba Havana,Ghana Accra,Hungary Budapest,
Ireland Dublin,Thailand Bangkok,Ukraine Kyiv,Finland Helsinki,Sweden Stockholm,Denmark Copenhagen,Italy Rome,
Spain Madrid,Turkey Ankara,Morocco Rabat,Vietnam Hanoi,Belgium Brussels,Bulgaria Sofia,Ecuador Quito"""
ELEMENTS = """hydrogen H,helium He,carbon C,nitrogen N,oxygen O,sodium Na,iron Fe,silver Ag,gold Au,lead Pb,tin Sn,
copper Cu,zinc Zn,calcium Ca,potassium K,chlorine Cl,neon Ne,mercury Hg,uranium U,magnesium Mg,silicon Si,sulphur S"""
CONTINENTS = """Kenya Africa,Brazil South_America,India Asia,Germany Europe,Nigeria Africa,China Asia,
Argentina South_America,Mexico North_America,Japan Asia,Spain Europe,Egypt Africa,Canada North_America,
Vietnam Asia,Poland Europe,
Peru South_America,Ghana Africa,Sweden Europe,Thailand Asia,Cuba North_America,Chile South_America"""
AUTHORS = """Hamlet William_Shakespeare,Moby-Dick Herman_Melville,Emma Jane_Austen,Ulysses James_Joyce,
Frankenstein Mary_Shelley,Dracula Bram_Stoker,The_Odyssey Homer,War_and_Peace Leo_Tolstoy,
Faust Johann_Wolfgang_von_Goethe,Don_Quixote Miguel_de_Cervantes,
The_Great_Gatsby F._Scott_Fitzgerald,Oliver_Twist Charles_Dickens,1984 George_Orwell,
Les_Misérables Victor_Hugo,The_Hobbit J._R._R._Tolkien,The_Trial Franz_Kafka"""
LANGUAGES = """Brazil Portuguese,Mexico Spanish,Austria German,Egypt Arabic,Japan Japanese,Italy Italian,Greece Greek,
Sweden Swedish,Poland Polish,Hungary Hungarian,Argentina Spanish,France French,Turkey Turkish,Russia Russian,
Finland Finnish,Denmark Danish"""
OPPOSITES = """hot cold,early late,empty full,heavy light,wide narrow,loud quiet,rich poor,strong weak,young old,
deep shallow,fast slow,dry wet,cheap expensive,clean dirty,open closed,soft hard,happy sad,brave afraid"""
SPANISH = """house casa,water agua,bread pan,book libro,dog perro,cat gato,friend amigo,milk leche,night noche,sun sol,
table mesa,door puerta,red rojo,green verde,tree árbol,fish pez"""
CLASSES = """whale mammal,eagle bird,salmon fish,frog amphibian,snake reptile,bat mammal,penguin bird,shark fish,
ant insect,crocodile reptile,dolphin mammal,ostrich bird,bee insect,toad amphibian,lizard reptile,butterfly insect"""
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")

Answers = tuple[tuple[str, str], tuple[str, str]]
"""(good, wrong) of the terse answer and of the full one."""
Maker = Callable[[random.Random], tuple[str, Answers]]


def exact_pairs(count: int, seed: int = 7) -> list[Pair]:
    """The terse and the full pair of `count` different questions, two for each."""
    draws = random.Random(seed)
    pairs: dict[str, list[Pair]] = {}
    while len(pairs) < count:
        prompt, answers = MAKERS[len(pairs) % len(MAKERS)](draws)
        pairs.setdefault(prompt, [Pair(Conversation.of(prompt), good, wrong, "exact") for good, wrong in answers])
    return [pair for both in pairs.values() for pair in both]


def _table(text: str) -> list[tuple[str, str]]:
    rows = [row.split() for row in text.replace("\n", "").split(",")]
    return [(row[0].replace("_", " "), row[1].replace("_", " ")) for row in rows]


def _looked_up(rows: str, asks: tuple[str, ...], terse: str, full: str) -> Maker:
    """Questions about a table: the wrong answer takes the value of another row."""

    def make(draws: random.Random) -> tuple[str, Answers]:
        table = _table(rows)
        key, value = draws.choice(table)
        _, other = draws.choice([row for row in table if row[1] != value])
        both = ((text.format(key, value), text.format(key, other)) for text in (terse, full))
        return draws.choice(asks).format(key), tuple(both)  # type: ignore[return-value]

    return make


def _both(terse: str, full: str, right: tuple, wrong: tuple) -> Answers:
    return (terse.format(*right), terse.format(*wrong)), (full.format(*right), full.format(*wrong))


def _sum(draws: random.Random) -> tuple[str, Answers]:
    a, b = draws.randint(11, 99), draws.randint(11, 99)
    off = a + b + draws.choice((-20, -10, 10, 20, 30))
    full = "{0} plus {1} is {2}. You can check it by taking {1} away again."
    return f"What is {a} + {b}?", _both("It is {2}.", full, (a, b, a + b), (a, b, off))


def _product(draws: random.Random) -> tuple[str, Answers]:
    a, b = draws.randint(3, 12), draws.randint(3, 12)
    off = a * b + draws.choice((-5, 4, 7, 11))
    full = "{0} times {1} is {2}. In other words, {0} groups of {1} make {2} together."
    return f"How much is {a} times {b}?", _both("{0} times {1} is {2}.", full, (a, b, a * b), (a, b, off))


def _distance(draws: random.Random) -> tuple[str, Answers]:
    speed, hours = draws.randint(4, 13) * 10, draws.randint(2, 6)
    off = speed * hours + draws.choice((-50, -30, 40, 70))
    full = "It travels {2} kilometres, because {0} kilometres an hour for {1} hours make {0} × {1} = {2}."
    ask = f"A car drives at {speed} km/h for {hours} hours. How far does it go?"
    return ask, _both("It goes {2} kilometres.", full, (speed, hours, speed * hours), (speed, hours, off))


def _change(draws: random.Random) -> tuple[str, Answers]:
    price, paid = draws.randint(3, 18), 20
    off = paid - price + draws.choice((-2, 1, 2, 3))
    ask = f"I pay for a book that costs {price} euros with a {paid} euro note. What change do I get?"
    full = "You get {2} euros back, since {1} minus {0} is {2}."
    return ask, _both("{2} euros.", full, (price, paid, paid - price), (price, paid, off))


def _minutes(draws: random.Random) -> tuple[str, Answers]:
    hours = draws.randint(2, 30)
    full = "{0} hours are {1} minutes, because an hour has 60 minutes and you multiply the two."
    return f"How many minutes are {hours} hours?", _both(
        "{1} minutes.", full, (hours, hours * 60), (hours, hours * 100)
    )


def _weeks(draws: random.Random) -> tuple[str, Answers]:
    day, weeks = draws.randint(1, 7), draws.randint(1, 3)
    month, later = draws.choice(MONTHS), day + 7 * weeks
    number = ("One week", "Two weeks", "Three weeks")[weeks - 1]
    ask = f"Today is {day} {month}. What date is it in {weeks} week{'s' if weeks > 1 else ''}?"
    off = later + draws.choice((-4, -3, 2, 3))
    full = "{0} after {1} {2} it is {3} {2}."
    return ask, _both("It is {3} {2}.", full, (number, day, month, later), (number, day, month, off))


MAKERS: tuple[Maker, ...] = (
    _sum,
    _looked_up(
        CAPITALS,
        ("What is the capital of {}?", "Which city is the capital of {}?", "Tell me the capital of {}."),
        "{1}.",
        "The capital of {0} is {1}. It is also the seat of the country's government.",
    ),
    _product,
    _looked_up(
        ELEMENTS,
        ("What is the chemical symbol for {}?", "Which symbol stands for {} in the periodic table?"),
        "The symbol is {1}.",
        "The chemical symbol for {0} is {1}. You find it under this symbol in the periodic table of the elements.",
    ),
    _looked_up(
        CONTINENTS,
        ("On which continent is {}?", "Where in the world is {}?"),
        "{0} is in {1}.",
        "{0} is a country in {1}. On a map of the world you find it there together with its neighbours.",
    ),
    _distance,
    _looked_up(
        AUTHORS,
        ("Who wrote {}?", "Who is the author of {}?"),
        "{1}.",
        "{0} was written by {1}, and it is one of the best known works of its author.",
    ),
    _change,
    _looked_up(
        LANGUAGES,
        ("Which language do people speak in {}?", "What is the official language of {}?"),
        "{1}.",
        "The official language of {0} is {1}. It is what children there learn to read and write at school.",
    ),
    _minutes,
    _looked_up(
        OPPOSITES,
        ('What is the opposite of "{}"?', 'Give me an antonym of "{}".'),
        '"{1}".',
        'The opposite of "{0}" is "{1}". Both are common adjectives that are used every day.',
    ),
    _weeks,
    _looked_up(
        SPANISH,
        ('How do you say "{}" in Spanish?', 'What is the Spanish word for "{}"?'),
        '"{1}".',
        'The Spanish word for "{0}" is "{1}". You will hear it often in Spain and in Latin America.',
    ),
    _looked_up(
        CLASSES,
        ("What kind of animal is a {}?", "To which class of animals does the {} belong?"),
        "The {0} belongs to this class: {1}.",
        "The class of the {0} is {1}. Biologists place it there because of how its body is built.",
    ),
)
