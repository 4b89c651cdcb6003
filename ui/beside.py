"""Which networks say something of a drawing beside the chosen one."""

from inference.classify import SLOW
from models import datasets, shelf
from ui import serving

MOST_OWN = 3  # networks of an own data set that answer side by side


def cards(dataset: str, chosen: shelf.Card) -> list[tuple[shelf.Card, bool]]:
    """The chosen network and the shipped ones, or the newest of an own data set, as they stand side by side; and whether each is asked:
    in a crowd slow ones only where they are chosen."""
    listed = serving.cards(dataset)
    beside = {card.name for card in listed[:MOST_OWN] if card.dataset not in datasets.DATASETS}
    is_crowded = serving.is_crowded()
    return [
        (card, card.name == chosen.name or not is_crowded or float(card.facts.get("latency_ms", 0)) <= SLOW)
        for card in listed
        if card.name == chosen.name or card.is_shipped or card.name in beside
    ]
