"""The vocabulary of the prompt grammar in `reward.prompts`. Data only.

A prompt asks for something (`TASKS`) about a subject (`SUBJECTS`) seen from one side (`ASPECTS`),
for somebody (`READERS`), within bounds (`LIMITS`). Every combination makes sense enough to be asked.
"""

from __future__ import annotations

SUBJECTS = tuple(
    """
    sourdough bread; bicycle brakes; the water cycle; compound interest; a vegetable garden; house cats; volcanoes;
    the French Revolution; solar panels; public libraries; chess openings; sleep; tax returns; electric cars;
    photosynthesis; job interviews; black holes; the immune system; knitting; urban trees; earthquakes; antibiotics;
    marathon training; the Silk Road; rental contracts; bees; inflation; video calls; coffee brewing; vaccines;
    the printing press; camping; password managers; glaciers; probability; lighthouses; migraine; potatoes;
    railway stations; recycling; the human heart; email newsletters; sharks; haiku; school lunches; wind turbines;
    the Roman Empire; food allergies; houseplants; meditation; satellites; contact lenses; drought; the stock market;
    paper aeroplanes; honey; databases; river floods; public speaking; dental care; the moon; spreadsheets; rice;
    insurance; hiking boots; noise in cities; regular expressions; the Cold War; goldfish; ballet; credit cards;
    the ozone layer; wooden furniture; stage fright; cheese; unit tests; coral reefs; night shifts; folk songs;
    bread moulds; mortgage loans; whales; text messages; street markets; knives; the Industrial Revolution; olive oil;
    git branches; thunderstorms; crossword puzzles; sunscreen; ferries; second-hand clothes; the Great Wall of China;
    yoga; tides; dinosaurs; office plants; comets; bridges; the Python programming language; loneliness; zebras;
    electric guitars; fasting; elections; carbon dioxide; snowshoes; cloud storage; origami; raised beds; penguins;
    savings accounts; the Renaissance; blood pressure; moving house; fire alarms; wolves; jazz; washing machines;
    microscopes; the periodic table; bus timetables; soup; friendship; lightning; dog training; dictionaries; rust;
    desert plants; traffic lights; stamp collecting; the Amazon rainforest; running shoes; time zones; ants;
    search engines; gravity; first aid; apple trees; museums; the Black Death; batteries; swimming; memory; tea;
    minimum wages; parrots; wireless networks; sand dunes; watercolour painting; jet lag; peer review; mushrooms;
    theatre tickets; heat pumps; genes; the Olympic Games; rain barrels; small talk; magnets; pension funds; salt
    """.replace("\n", " ").split(";")
)
SUBJECTS = tuple(" ".join(subject.split()) for subject in SUBJECTS)

ASPECTS = (
    "", "the basics of ", "common mistakes with ", "the history of ", "the costs of ", "the risks of ",
    "the good and bad sides of ", "the science behind ", "the future of ", "myths about ", "the importance of ",
    "the vocabulary of ", "the economics of ", "the environmental side of ", "everyday questions about ",
    "what beginners get wrong about ", "what children ask about ", "what has changed lately in ",
    "the rules around ", "the most surprising facts about ",
)  # fmt: skip

TASKS = (
    "Explain {x}", "What should I know about {x}?", "Write a short introduction to {x}", "Summarise {x}",
    "Can you tell me about {x}?", "Give me an overview of {x}", "I need to understand {x}. Where do I start?",
    "List three facts about {x}", "Write a paragraph about {x}", "Help me prepare a talk about {x}",
    "Draft an email to a colleague about {x}", "Why do people care about {x}?", "Write a dialogue about {x}",
    "Compare two opinions on {x}", "What questions should I ask an expert about {x}?", "Describe {x} with an example",
    "Write a short story that touches on {x}", "Make a checklist for {x}", "How would you teach {x}?",
    "Suggest a title and an opening sentence for an article on {x}", "What is the most useful thing to know about {x}?",
    "Write a product description that has to do with {x}", "Give step by step advice on {x}",
    "Answer a sceptic who has doubts about {x}", "Tell me a little known detail about {x}",
    "I have to write an essay on {x}. What could my main argument be?", "Explain how to find reliable sources on {x}",
    "Make up a quiz question about {x} and answer it", "Invent a metaphor for {x}",
    "What do experts disagree on about {x}?",
    "Write a diary entry of somebody who thinks about {x}", "Turn {x} into a lesson plan",
    "What would change in daily life without {x}?", "Write a polite complaint that concerns {x}",
    "Give me talking points on {x}", "Explain the link between {x} and {y}", "Which matters more, {x} or {y}?",
    "Write a short poem about {x}", "Compare {x} with {y}", "Is there anything that {x} and {y} have in common?",
)  # fmt: skip

READERS = (
    "", "", "", " for a ten-year-old", " for a complete beginner", " for my grandmother", " for a busy manager",
    " for a school class", " for somebody who just moved to a big city", " for an engineer", " for a nurse",
    " for a curious teenager", " for readers of a local newspaper", " for a shop owner", " for a language learner",
)  # fmt: skip

LIMITS = (
    "", "", "", "", " Keep it short.", " Use plain words.", " Use at most {n} sentences.",
    " Answer in about {w} words.",
    " Give one concrete example.", " Do not use lists.", " Use bullet points.", " Be honest about what is uncertain.",
    " End with a question.", " Start with the most important point.", " Write in a friendly tone.",
    " Write in a neutral tone.", " No introduction please.", " I have five minutes.", " Mention one number.",
)  # fmt: skip

OPENINGS = (
    "", "", "", "", "", "Hi! ", "Hello, ", "Quick question: ", "Please help. ", "hey, ", "Good morning. ",
    "I was wondering: ", "For a project at work: ", "My daughter asked me this: ", "Thanks for earlier. ",
)  # fmt: skip

CLOSINGS = ("", "", "", "", "", "", " Thanks!", " Thank you.", " thx", " Please.", " That would help a lot.")

SYSTEMS = (
    "You are a helpful assistant.", "You are a concise assistant.", "You are a patient teacher.",
    "Answer truthfully and say so when you do not know.", "You write clear, simple English.",
    "You are an assistant on a company's help page. Be polite.", "You help students with their homework.",
    "Be brief. No small talk.", "You are an experienced editor.", "You are a friendly chatbot.",
)  # fmt: skip

FOLLOW_UPS = (
    "Can you say more about {x}?", "And what about {x}?", "How does that apply to {x}?", "Give me an example with {x}.",
    "I did not get that. What does it mean for {x}?", "ok, and {x}?", "Now do the same for {x}.",
    "What would you add about {x}?", "Sum that up in one sentence, and mention {x}.",
)  # fmt: skip

EARLIER = (
    ("Tell me about {x}.", "Gladly. There is a lot to say about {x}; which side of it interests you most?"),
    ("What is a good way to learn about {x}?", "Start with one good book about {x}, then try things out yourself."),
    ("Is {x} interesting?", "Many people think so: {x} touches on everyday life more often than one expects."),
    ("I know nothing about {x}.", "That is no problem. Let us begin with the simplest question about {x} you have."),
)  # fmt: skip
