"""Questions and answers for the demonstration model, and the many ways in which people type them."""

import itertools
import math
import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).parent
MANIFESTS = HERE.parent / "manifests"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Where a letter is, and which ones lie beside it: slips of the finger.
ROWS = ["qwertyuiop", "asdfghjkl", "zxcvbnm"]
ASKING = {"what", "what's", "whats", "who", "which", "where", "when", "why", "how", "is", "are", "am", "do", "does", "did", "can",
          "could", "may", "will", "would", "should", "must", "has", "have", "from", "in", "on", "to", "under"}


# Parts of a question that may take each other's place: `(stop|end) a (tool|service)`.
CHOICE = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")
BLANK = re.compile(r"\{([\w-]+)\}")
SYLLABLES = [start + vowel + end for start in "bdfgklmnprstvz" for vowel in "aeiou" for end in ("", "", "", "r", "n", "x", "l", "sk")]


class Fact:
    """An answer, the questions it is learned with, and those it is only tested with."""

    def __init__(self, answer, ask, held_out, kind, lists=None):
        self.answer, self.ask, self.held_out, self.kind = answer, ask, held_out, kind
        self.lists = lists or {}
        # Lines that stand for many questions come up more often, but not as often as they have questions.
        self.often = [1 + math.log2(len(choices(line))) / 4 for line in ask]

    def question(self, random):
        """One of the questions to learn with, its choices made and its blanks filled in."""
        line = random.choices(self.ask, self.often)[0]
        return tidy(BLANK.sub(lambda blank: self.fill(blank[1], random), CHOICE.sub(lambda group: random.choice(group[1].split("|")), line)))

    def fill(self, name, random):
        if name == "made-up":
            return "".join(random.choice(SYLLABLES) for _ in range(random.choice([1, 2, 2, 2, 3])))
        return random.choice(self.lists[name])


def choices(line):
    """Every question that a line stands for, blanks left as they are."""
    parts = CHOICE.split(line)
    return [tidy("".join(parts)) for parts in itertools.product(*([part] if at % 2 == 0 else part.split("|") for at, part in enumerate(parts)))]


def tidy(text):
    """Without the spaces that an empty choice leaves."""
    return re.sub(r" +(?=[,?])", "", " ".join(text.split()))


def plain(question):
    """What makes two questions the same: words, without punctuation and capitals."""
    return re.sub(r"[^\w{}]+", " ", question.lower()).strip()


def lines(text):
    return [line for line in text.splitlines() if line]


def tools():
    """Name, title and summary of every tool of the catalogue."""
    for path in sorted(MANIFESTS.glob("*.toml")):
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        if {"name", "title", "summary"} <= manifest.keys():
            yield {key: manifest[key] for key in ("name", "title", "summary")}


def facts():
    """Everything the model is to know."""
    found = []
    for path in sorted((HERE / "questions").glob("*.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        for fact in data.get("fact", []):
            found.append(Fact(fact["answer"], lines(fact["ask"]), lines(fact["held-out"]), path.stem, data.get("lists")))
        for fact in data.get("tool-fact", []):
            for tool in tools():
                names = sorted({tool["name"], tool["title"]})
                found.append(Fact(
                    fact["answer"].format(**tool),
                    [line.replace("{tool}", name) for line in lines(fact["ask"]) for name in names],
                    [line.replace("{tool}", names[0]) for line in lines(fact["held-out"])],
                    path.stem,
                ))
    check(found)
    return found


def typed(found):
    """Questions of the second test with the facts that are meant."""
    firsts = {fact.ask[0]: fact for fact in found}
    for entry in tomllib.loads((HERE / "typed.toml").read_text(encoding="utf-8"))["typed"]:
        for question in lines(entry["ask"]):
            yield firsts[entry["fact"]], question


def check(found):
    """Refuses the same question for two answers."""
    seen, twice = {}, set()
    for fact in found:
        for question in [*fact.held_out, *(question for line in fact.ask for question in choices(line))]:
            if seen.setdefault(plain(question), fact.answer) != fact.answer:
                twice.add(question)
    if twice:
        raise SystemExit("asked for two answers:\n" + "\n".join(sorted(twice)))


def proper(question):
    """With a capital letter and a question mark, where one belongs."""
    asks = question.split()[0].lower() in ASKING
    start = question[0] if question.startswith("aienv") else question[0].upper()
    return start + question[1:] + ("?" if asks else "")


class Ways:
    """Makes of one question another that means the same."""

    def __init__(self):
        same = tomllib.loads((HERE / "questions/same.toml").read_text(encoding="utf-8"))
        self.openings, self.before, self.behind = same["openings"], same["before"], same["behind"]
        self.words = {}
        for group in same["words"]:
            for word in group:
                self.words.setdefault(word.lower(), []).append(group)

    def vary(self, text, random):
        """The question with other letters, with politeness and with slips of the finger: a few of these."""
        chance = random.random
        if chance() < 0.15:
            text = random.choice(self.before) + text
        if chance() < 0.08:
            text += random.choice(self.behind)
        text = case(punctuate(text, random), random)
        if chance() < 0.25:
            for _ in range(random.choice([1, 1, 1, 2, 2, 3])):
                text = slip(text, random)
        return text

    def other_words(self, text, random):
        """The question in other words, or with fewer."""
        chance = random.random
        if chance() < 0.5:
            text = self.reopen(text, random)
        if chance() < 0.6:
            text = self.reword(text, random, 0.3)
        if chance() < 0.1:
            text = telegram(text, random)
        elif chance() < 0.2:
            text = drop_word(text, random, SMALL)
        if chance() < DROP:
            text = drop_word(text, random)
        if chance() < 0.04:
            text = swap_words(text, random)
        return text

    def reopen(self, text, random):
        fitting = [(group, opening) for group in self.openings for opening in group if text.lower().startswith(opening.lower() + " ")]
        if not fitting:
            return text
        longest = max(len(opening) for _, opening in fitting)
        group, opening = random.choice([pair for pair in fitting if len(pair[1]) == longest])
        return random.choice(group) + text[len(opening):]

    def reword(self, text, random, share):
        words = text.split(" ")
        for place, word in enumerate(words):
            groups = self.words.get(word.lower())
            if groups and random.random() < share:
                words[place] = random.choice(random.choice(groups))
        return " ".join(words)


SMALL = {"a", "an", "the", "do", "does", "i", "is", "are", "of", "to", "my", "it", "in", "with", "me", "can", "for", "that"}


# How often a question lacks one of its words, whichever it is.
DROP = 0.08


def drop_word(text, random, only=None):
    """Without one of its words; with `only`, of these, as people who are in a hurry leave out small ones."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if only is None or word.lower() in only]
    if len(words) > 3 and places:
        del words[random.choice(places)]
    return " ".join(words)


def telegram(text, random):
    """With next to none of the small words."""
    words = [word for word in text.split(" ") if word.lower() not in SMALL | ASKING or random.random() < 0.15]
    return " ".join(words) if len(words) > 1 else text


def swap_words(text, random):
    words = text.split(" ")
    if len(words) > 2:
        place = random.randrange(len(words) - 1)
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def punctuate(text, random):
    asks = text.split(" ")[0].lower() in ASKING
    dice = random.random()
    if asks:
        end = "?" if dice < 0.55 else "" if dice < 0.93 else random.choice([" ?", "??", ".", "!", "?!"])
    else:
        end = "" if dice < 0.55 else "." if dice < 0.75 else "?" if dice < 0.9 else "!"
    return text + end


def case(text, random):
    dice = random.random()
    if dice < 0.4:
        return text[0].upper() + text[1:]
    if dice < 0.7:
        return text
    if dice < 0.95:
        return text.lower()
    return text.upper() if dice < 0.97 else text.title()


def slip(text, random):
    """One slip of the finger: a letter twice, missing, wrong, or in the wrong place."""
    places = [place for place, letter in enumerate(text) if letter.isalpha()]
    if len(places) < 5:
        return text
    place = random.choice(places)
    letter = text[place]
    kind = random.randrange(4)
    if kind == 0:
        return text[:place] + letter + text[place:]
    if kind == 1:
        return text[:place] + text[place + 1:]
    if kind == 2:
        row = next((row for row in ROWS if letter.lower() in row), LETTERS)
        at = row.find(letter.lower())
        beside = row[max(at - 1, 0):at] + row[at + 1:at + 2]
        return text[:place] + random.choice(beside or LETTERS) + text[place + 1:]
    return text[:place] + text[place + 1:place + 2] + letter + text[place + 2:]
