"""A published network as torch modules again, to run it the usual way beside the way Inkling serves it."""

import dataclasses

from jobs.config import RunConfig
from models.shelf import Card
from training.networks import Served, build
from training.published import start_weights


def rebuild(card: Card) -> Served:
    """The network of a card in evaluation mode, with the weights of its published graph."""
    config = dataclasses.replace(RunConfig.from_dict(card.facts["config"]), start_from=card.name)
    members = []
    for number in range(card.facts["members"]):
        member = build(config)
        member.load_state_dict(start_weights(config, number))
        members.append(member)
    return Served(members, temperature=card.facts["temperature"], mirrored=config.mirrored).eval()
