"""python -m benchmarks.shelf [--write]

The README's tables of published networks and of what the gates decline, from their cards; --write puts them in place between the README's
marks. Each card's figures were measured on its ONNX file when it was published; `python -m training evaluate` measures one again.
"""

import argparse

from benchmarks.common import ROOT
from models import shelf
from models.datasets import DATASETS

MARKS = {name: (f"<!-- {name}: python -m benchmarks.shelf -->\n", f"<!-- /{name} -->") for name in ("shelf", "gates")}
HEAD = (
    "| network | data set | test accuracy | n networks: mean ± std | calibration error | parameters | size | one picture, one core | trained in |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)
DRAWN = ("letter", "scribble", "noise")
GATES_HEAD = (
    "| gate | test images | letters | scribbles | noise | the other set's pictures | AUROC, in this order |\n"
    "|---|---|---|---|---|---|---|\n"
)  # fmt: skip


def row(card: shelf.Card) -> str:
    """One line of the table."""
    facts, spread = card.facts, card.facts["n_seeds"]
    of = f"{spread['n']} of {facts['members']}" if "mixture" in facts else spread["n"]  # of a mixture, the first expert's
    several = f"{of}: {spread['test']['mean']:.2%} ± {spread['test']['std'] * 100:.2f}" if spread["n"] > 1 else "1"
    trained = f"{facts['run']['seconds'] / 60:.0f} min" + (f", after {start}" if (start := facts["config"].get("start_from")) else "")
    return (
        f"| {card.title} | {DATASETS[card.dataset].title} | **{card.test_accuracy:.2%}** | {several} | {facts['test']['calibration_error']:.2%} "
        f"| {card.parameters:,} | {facts['bytes'] / 2**20:.1f} MB | {facts['latency_ms']:.2g} ms | {trained} |"
    )


def gate_row(card: shelf.Card) -> str:
    """One line of the gates' table: the share of each kind that is declined."""
    own, *kinds = card.labels
    (other,) = set(kinds) - set(DRAWN)
    facts = [card.facts["validation"]["by_kind"][kind] for kind in (*DRAWN, other)]
    declined = [f"{card.facts['test']['declined']:.2%}", *(f"{each['declined']:.1%}" for each in facts)]
    curves = ", ".join(f"{each['auroc']:.4f}" for each in facts)
    return f"| {own}s | {' | '.join(declined)} ({other}s) | {curves} |"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    write = parser.parse_args().write
    cards = [card for dataset in DATASETS for card in shelf.list_cards(dataset) if card.is_shipped]
    gates = [shelf.gate_card(dataset) for dataset in DATASETS]
    tables = {"shelf": HEAD + "\n".join(map(row, cards)) + "\n", "gates": GATES_HEAD + "\n".join(map(gate_row, gates)) + "\n"}
    print(*tables.values(), sep="\n")
    if write:
        readme = ROOT / "README.md"
        text = readme.read_text()
        for name, (start, end) in MARKS.items():
            before, rest = text.split(start)
            text = f"{before}{start}{tables[name]}{end}{rest.split(end)[1]}"
        readme.write_text(text)


if __name__ == "__main__":
    main()
