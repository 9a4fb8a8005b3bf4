"""The example workload of `tiering.py`: a shop's support questions, each with a fact that a right answer holds.

Owns the shop, the questions and their labels, and the telling of a right answer from a wrong one.
"""

import random
import re
from typing import NamedTuple

PROMPT = """\
You help customers of Oak & Birch, a furniture shop. Answer in one or two sentences, with facts from here only.
Opening hours: Monday to Saturday from 9 to 18; closed on Sunday. Phone: 555-0134.
Delivery: only inside the EU, 9 dollars, free for orders over 100 dollars; it takes 3 to 5 working days.
Returns: within 30 days, unused; the money is back 5 working days later. Warranty: 2 years.
Oak shelf: 120 dollars, carries 50 kg, for dry rooms. Birch shelf: 80 dollars, carries 30 kg, for dry rooms.
Steel shelf: 95 dollars, carries 60 kg, also for damp rooms. Assembly: 40 dollars for each shelf.
"""


class Question(NamedTuple):
    """`fact`: a pattern that a right answer holds; `answer`: one that is right; `hard` as labelled by hand: it takes
    more than one fact, or arithmetic."""

    text: str
    fact: str
    answer: str
    hard: bool = False


QUESTIONS = (
    Question("Are you open on Sunday?", r"closed|not open", "We are closed on Sunday."),
    Question("When do you open on Monday?", r"\b9\b|nine", "We open at 9."),
    Question("What is your phone number?", r"555-0134", "It is 555-0134."),
    Question("How long does delivery take?", r"3 to 5|3-5|three to five", "It takes 3 to 5 working days."),
    Question("How many days do I have to return something?", r"30|thirty", "You have 30 days."),
    Question("How long is the warranty?", r"2 years|two years|2-year|two-year", "The warranty is 2 years."),
    Question("What does the birch shelf cost?", r"\b80\b", "It costs 80 dollars."),
    Question("What does the oak shelf cost?", r"\b120\b", "It costs 120 dollars."),
    Question("How much can the steel shelf carry?", r"\b60\b", "It carries 60 kg."),
    Question("What does it cost to have a shelf assembled?", r"\b40\b", "Assembly is 40 dollars."),
    Question("Until when are you open on Saturday?", r"\b18\b|6 ?pm|6 p\.m|six", "We are open until 18."),
    Question("When do I get my money back for a return?", r"5 working|five working", "Within 5 working days."),
    Question("I want two birch shelves, assembled, sent to Malta. What do I pay in all?", r"\b240\b",
             "Two shelves are 160 dollars, assembly is 80, delivery is free: 240 dollars.", True),
    Question("What does one birch shelf cost me, delivered to Spain?", r"\b89\b",
             "80 dollars and 9 for delivery: 89 dollars.", True),
    Question("I need a shelf for a damp cellar and 55 kg of books. Which one?", r"steel",
             "The steel shelf: it carries 60 kg and stands damp rooms.", True),
    Question("Which shelf is the cheapest that carries 45 kg?", r"steel",
             "The steel shelf for 95 dollars: birch carries 30 kg only, and oak is dearer.", True),
    Question("I bought an oak shelf 40 days ago and never used it. Can I still return it?",
             r"\bno\b|not|cannot|can't|only|unfortunately", "No: returns are possible within 30 days only.", True),
    Question("My frame broke after 20 months. Is that still under warranty?", r"\byes\b|is (still )?(under|cover)",
             "Yes, the warranty is 2 years, which is 24 months.", True),
    Question("Could you send a steel shelf to Norway?", r"\bno\b|not|cannot|can't|only",
             "No: we deliver inside the EU only, and Norway is outside.", True),
    Question("How much more is an oak shelf with assembly than a steel one without?", r"\b65\b",
             "160 dollars against 95: 65 dollars more.", True),
    Question("I have 200 dollars. Are two steel shelves with assembly within my budget?",
             r"\b270\b|\bno\b|not|exceed|over", "No: two shelves with assembly are 270 dollars.", True),
    Question("If I order on Monday, is it here by Wednesday of the same week for sure?", r"\bno\b|not|cannot|can't",
             "No: it takes 3 to 5 working days, so Thursday at the earliest.", True),
    Question("What do three oak shelves cost with delivery to Italy?", r"\b360\b",
             "360 dollars; delivery is free over 100 dollars.", True),
    Question("I return one of two birch shelves unused after a week. How much comes back?", r"\b80\b",
             "80 dollars, 5 working days after it is back.", True),
)  # fmt: skip
SIMPLE = tuple(question for question in QUESTIONS if not question.hard)
HARD = tuple(question for question in QUESTIONS if question.hard)
WRONG = "I am not certain; please look at our pages."
"""What a model is scripted to say that does not know: it holds no question's fact but by its patterns of denial."""

TOLD = (
    ("My name is Marta Quist.", r"Quist"),
    ("My order is A-1042.", r"A-1042"),
    ("The third screw of the left frame is missing.", r"screw"),
    ("I cannot take calls before 17:30.", r"17:30|5:30"),
    ("Please send it to Valletta, not to Sliema.", r"Valletta"),
    ("You promised me 25 dollars for the trouble.", r"\b25 dollars"),
)
"""What a customer says at the beginning of a long conversation, and the pattern by which it is known again."""
SMALL_TALK = "By the way, about the shelf in the hall, the one next to the door that we spoke of: "


def right(question: Question, text: str) -> bool:
    """Whether the answer holds the fact."""
    return re.search(question.fact, text, re.I) is not None and WRONG not in text


def mixed(count: int, simple: float, chance: random.Random) -> list[Question]:
    """`count` questions, of which the share `simple` is simple, in any order."""
    easy = round(count * simple)
    asks = [SIMPLE[n % len(SIMPLE)] for n in range(easy)] + [HARD[n % len(HARD)] for n in range(count - easy)]
    chance.shuffle(asks)
    return asks
