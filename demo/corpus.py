"""Questions and answers for the demonstration model, and the many ways in which people type them."""

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


class Fact:
    """An answer, the questions it is learned with, and those it is only tested with."""

    def __init__(self, answer, ask, held_out, kind, lists=None):
        self.answer, self.ask, self.held_out, self.kind = answer, ask, held_out, kind
        self.lists = lists or {}

    def question(self, random):
        """One of the questions to learn with, its blanks filled in."""
        return re.sub(r"\{(\w+)\}", lambda blank: random.choice(self.lists[blank[1]]), random.choice(self.ask))


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


def check(found):
    """Refuses what would make the test worthless: the same question twice."""
    seen = {}
    for fact in found:
        for question in fact.ask + fact.held_out:
            key = re.sub(r"[^\w{}]+", " ", question.lower()).strip()
            if seen.setdefault(key, fact.answer) != fact.answer:
                raise SystemExit(f"asked for two answers: {question}")
        learned = {question.lower() for question in fact.ask}
        for question in fact.held_out:
            if question.lower() in learned:
                raise SystemExit(f"held out and learned: {question}")


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

    def vary(self, question, random):
        """The question in other words, with other letters and with slips of the finger: a few of these."""
        chance = random.random
        text = question
        if chance() < 0.5:
            text = self.reopen(text, random)
        if chance() < 0.5:
            text = self.reword(text, random, 0.3)
        if chance() < 0.1:
            text = drop_word(text, random)
        if chance() < 0.15:
            text = random.choice(self.before) + text
        if chance() < 0.08:
            text += random.choice(self.behind)
        text = case(punctuate(text, random), random)
        if chance() < 0.25:
            for _ in range(random.choice([1, 1, 1, 2, 2, 3])):
                text = slip(text, random)
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


def drop_word(text, random):
    """Without one of the small words, as people who are in a hurry write."""
    words = text.split(" ")
    small = [place for place, word in enumerate(words) if word.lower() in SMALL]
    if len(words) > 3 and small:
        del words[random.choice(small)]
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
