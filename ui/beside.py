"""What the other networks say of a drawing, beside the chosen one."""

from inference.classify import SLOW, Answer, answer_again
from models import datasets, shelf
from ui import serving

MOST_OWN = 3  # networks of an own data set that answer side by side


def others(dataset: str, chosen: shelf.Card, answer: Answer) -> tuple[list[shelf.Card], list[Answer | None]]:
    """The chosen network beside the shipped ones, or the newest of an own data set; a damaged one is named on the Models page.

    In a crowd slow ones are asked only where they are chosen.
    """
    cards, answers = [], []
    listed = serving.cards(dataset)
    beside = {card.name for card in listed[:MOST_OWN] if card.dataset not in datasets.DATASETS}
    for card in listed:
        if card.name == chosen.name:
            cards.append(card)
            answers.append(answer)
        elif card.is_shipped or card.name in beside:
            if serving.is_crowded() and float(card.facts.get("latency_ms", 0)) > SLOW:
                answers.append(None)
                cards.append(card)
                continue
            try:
                answers.append(answer_again(serving.classifier(card), answer))
                cards.append(card)
            except shelf.ShelfError:
                continue
    return cards, answers
