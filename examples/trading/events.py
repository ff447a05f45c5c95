"""What the modules say to each other. This is all that they share."""

from stretto import Event


class Trade(Event):
    """Somebody wants to trade."""

    sku: str
    feedback: str


class Quoted(Event):
    """What that costs."""

    sku: str
    feedback: str
    cents: int


class Traded(Event):
    """It was done."""

    sku: str
    what: str


class Progress(Event):
    """For whoever watches."""

    text: str
