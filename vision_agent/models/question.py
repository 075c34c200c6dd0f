"""What a question asks for, decided from its words alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

CODE = re.compile(r"\b(qr|bar ?codes?|codes?|scan)\b")
TEXT = re.compile(r"\b(text|words?|read|written|writing|say|says|sign|label)\b")
COLOUR = re.compile(r"colou?rs?\b")
BRIGHTNESS = re.compile(r"\b(bright|brightness|dark|light)\b")
CHANGE = re.compile(r"chang|differ|mov(e|ed|ing)\b")
START = re.compile(r"\b(start|beginning|given|first|initial|reference)\b")
MARK = re.compile(r"\b(mark|point (at|to|out)|where|highlight|outline|circle|annotate|draw)\b")
SHOW = re.compile(r"\bshow (me|us)\b")
SEE = re.compile(
    r"\b(see|sees|seeing|view|picture|image|photo|camera|screen|describe|shows?|showing|look|looking)\b"
)
PLACE = re.compile(
    r"\bwhere('s| am| are| is| was| were) (i|we|you|this|that|the (camera|picture|photo|view))"
    r"( now| from| taken)?\W*$"
)
"""Asks for a place in the world, not in the picture."""
KIND = re.compile(
    r"\bwhat('s| is| are| was| were) (this|that|these|those|it)\b"
    r"(?! (a )?(picture|image|photo|view|screen|camera))"
)
"""Asks what a thing is."""
DOUBT = re.compile(
    r"\bhow many\b(?! (different )?((qr |bar ?)?codes?|texts?|words|lines|labels|signs|(main )?colou?rs)\b)"
    r"|\bhow (far|big|tall|old|large|long|high|wide|close|near|heavy|deep|fast)\b"
    r"|\b(who|whose|whom|count|distance|identify|recogni[sz]e)\b"
    r"|\b(what|which) (time|kind|type|sort|brand|make|model|breed|species)\b"
    r"|\b(people|persons?|m[ae]n|wom[ae]n|boys?|girls?|child|children|kids?|baby|faces?|anyone|anybody"
    r"|someone|somebody|everyone|everybody|nobody|objects?|animals?|dogs?|cats?|birds?)\b"
)
"""Asks for something that the built-in model can't tell from pixels, whatever the other words are."""
KNOWN = frozenset(
    re.findall(
        r"\w+",
        # around any question; the whole picture; codes, text, colours, brightness; change; the start; marks
        """
        a again all also an and any anything are around as at be can could do does else everything exactly
        for from give hello here hey hi in is it its just let me my now of ok okay on or our please right s
        so something tell thank thanks that the then there these this those to today too us want was we
        well were what will with would you your

        attached camera cameras clearly current currently describe description detail detailed details front
        image images look looking moment photo photos picture pictures scene screen screens see seeing sees
        sent show showing shows upload uploaded view views visible

        bar barcode barcodes bright brightness code codes color colored colors colour coloured colours dark
        different dominant how label labels light line lines main mainly many most mostly much qr read scan
        say says sign signs text texts word words writing written

        ago before been between change changed changes changing did differ difference differences differs
        earlier has have last move moved moving one previous question same since time turn

        beginning first given initial reference start

        annotate box circle draw highlight mark out outline point where
        """,
    )
)
"""Words that ask for nothing that the built-in model can't tell."""
ABOUT_US = re.compile(r"(?<!show )(?<!tell )(?<!give )(?<!let )\b(me|us)\b")
"""The person who asks as the subject of the question: "do you see me" but not "tell me"."""


class Question:
    """A question's words, sorted.

    Args:
        text: What was asked.
        views: Names of the views; their words ask for nothing more.
    """

    def __init__(self, text: str, *, views: Iterable[str] = ()) -> None:
        self.text = text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        rest = self.text
        for view in views:
            kind, _, owner = view.casefold().partition(" of ")
            for name in (view.casefold(), f"{owner}'s {kind}"):
                rest = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", rest)
        self.unknown = frozenset(re.findall(r"\w+", rest)) - KNOWN
        """Words that may ask for something the model can't tell."""
        if ABOUT_US.search(rest):
            self.unknown |= {"me"}
        self.code = bool(CODE.search(self.text))
        self.words = bool(TEXT.search(self.text))
        self.colour = bool(COLOUR.search(self.text))
        self.brightness = bool(BRIGHTNESS.search(self.text))
        self.change = bool(CHANGE.search(self.text))
        self.start = bool(START.search(self.text))
        self.doubtful = bool(DOUBT.search(self.text))
        """Whether it asks for people, things, numbers or distances."""
        self.identifying = bool(KIND.search(self.text) or PLACE.search(self.text))
        """Whether it asks what or where something is."""

    @property
    def of_the_whole(self) -> bool:
        """Whether it asks for something that only a whole picture or view can answer."""
        return (self.colour or self.brightness or self.change) and not (self.code or self.words)

    @property
    def general(self) -> bool:
        """Whether it asks for the whole picture, and for nothing special in it."""
        if not re.search(r"\w", self.text):
            return True
        topics = self.code or self.words or self.colour or self.brightness or self.change
        asks_more = self.unknown or self.doubtful or self.identifying or MARK.search(self.text)
        return bool(SEE.search(self.text)) and not (topics or asks_more)

    @property
    def marking(self) -> bool:
        """Whether it asks to mark something on the picture."""
        if MARK.search(self.text):
            return not PLACE.search(self.text)
        return bool(SHOW.search(self.text)) and not (self.general or self.of_the_whole)

    @property
    def wanted(self) -> frozenset[str]:
        """The words that name the thing to mark, if there are more than "the code" or "it"."""
        return self.unknown - {"i", "me", "us", "we", "am"}
