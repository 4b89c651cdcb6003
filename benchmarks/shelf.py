"""python -m benchmarks.shelf [--write]

The README's table of published networks, from their cards; --write puts it in place between the README's marks.
Each card's figures were measured on its ONNX file when it was published; `python -m training evaluate` measures one again.
"""

import argparse

from benchmarks.common import ROOT
from models import shelf
from models.datasets import DATASETS

START, END = "<!-- shelf: python -m benchmarks.shelf -->", "<!-- /shelf -->"
HEAD = (
    "| network | data set | test accuracy | n networks: mean ± std | calibration error | parameters | size | one picture, one core | trained in |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def row(card: shelf.Card) -> str:
    """One line of the table."""
    facts, spread = card.facts, card.facts["n_seeds"]
    several = f"{spread['n']}: {spread['test']['mean']:.2%} ± {spread['test']['std'] * 100:.2f}" if spread["n"] > 1 else "1"
    minutes = facts["run"]["seconds"] / 60
    return (
        f"| {card.title} | {DATASETS[card.dataset].title} | **{card.test_accuracy:.2%}** | {several} | {facts['test']['calibration_error']:.2%} "
        f"| {card.parameters:,} | {facts['bytes'] / 2**20:.1f} MB | {facts['latency_ms']:.2g} ms | {minutes:.0f} min |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    write = parser.parse_args().write
    cards = [card for dataset in DATASETS for card in shelf.list_cards(dataset) if card.is_shipped]
    table = HEAD + "\n".join(map(row, cards)) + "\n"
    print(table)
    if write:
        readme = ROOT / "README.md"
        before, rest = readme.read_text().split(START)
        readme.write_text(f"{before}{START}\n{table}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
