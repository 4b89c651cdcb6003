"""The Models page: the cards of the shelf side by side."""

import functools
import html
from pathlib import Path

import streamlit as st

from inference import sessions
from models import datasets, shelf
from ui import figures, problems, retrain, sidebar, visitor

LEARNED_BEFORE = "; the network that it started or learned from had learned some of the images that measure it"
MOST_LOADED = 512  # graphs of which it is kept that they can be served: more than inference/sessions.py keeps sessions of


def page() -> None:
    """Shows the page."""
    dataset = sidebar.chosen_dataset()
    about = datasets.info(dataset)
    st.html(figures.heading("Models", f"The networks for {about.title}: what they are, what they cost, and what they mix up."))
    for problem in (*shelf.list_problems(dataset), *shelf.list_orphans()):
        st.html(figures.error("Left out", problem))
    cards = shelf.list_cards(dataset)
    if not cards:
        st.html(figures.no_network(about, visitor.may_act()))
        return
    abreast = 2 if len(cards) in (2, 4) else 3
    for start in range(0, len(cards), abreast):
        for place, card in zip(st.columns(abreast, gap="small"), cards[start : start + abreast], strict=False):
            with place:
                _show_card(card)
    if gate := shelf.gate_card(dataset):
        _show_gate(gate)
    if dataset == "fashion-mnist" and (for_photos := shelf.photo_card()):
        _show_photo_network(for_photos)
    _show_mistakes(cards)


def _show_gate(card: shelf.Card) -> None:
    """The network that is asked before the others whether the picture is one for them."""
    own, *_ = card.labels
    kinds = card.facts["validation"]["by_kind"]
    declined = _declined({kind: facts["declined"] for kind, facts in kinds.items()})
    told_apart = {f"AUROC, {html.escape(kind)}": f"{facts['auroc']:.4f}" for kind, facts in kinds.items()}
    with st.container(border=True):
        first, second, third = st.columns(3, gap="medium")
        first.html(
            f'<div class="ink" data-testid="gate"><h3 style="padding:0;margin:0">{html.escape(card.title)}</h3>'
            f'<div class="ink-big">{figures.percent(card.facts["test"]["declined"], 2)}</div><p class="ink-lead">of {card.facts["test"]["n"]:,} test images declined. '
            f"It stands before the other networks, which know nothing but {own}s, and tells what is none. Figures of what was held out; "
            f"{card.parameters:,} parameters, {card.facts['latency_ms']:.2g} ms.</p></div>"
        )
        second.html(figures.pairs_table(declined))
        third.html(figures.pairs_table(told_apart))
        _show_damage(card)


def _show_photo_network(card: shelf.Card) -> None:
    """The network beside the classic ones that answers to colour photos."""
    test = card.facts["test"]
    shown = {
        "Calibration error": figures.percent(test["calibration_error"], 1),
        "Parameters": f"{card.parameters:,}",
        "Size": f"{card.facts['bytes'] / 2**20:.1f} MB",
        "One photo, one core": f"{card.facts['latency_ms']:.2g} ms",
    } | _declined(card.facts["declined"]["by_kind"], places=0)
    by_group = {html.escape(name[0].upper() + name[1:]): figures.percent(accuracy, 0) for name, accuracy in test["by_group"].items()}
    by_group |= {"Which shoe": f"{test['which_shoe']['right']} of {test['which_shoe']['n']}"} if "which_shoe" in test else {}
    with st.container(border=True):
        first, second, third = st.columns(3, gap="medium")
        first.html(
            f'<div class="ink" data-testid="photo-network"><h3 style="padding:0;margin:0">{html.escape(card.title)}</h3>'
            f'<div class="ink-big">{figures.percent(card.test_accuracy, 1)}</div><p class="ink-lead">of {test["n"]:,} phone photos held out, each seen whole. '
            "It sees 224x224 pixels in colour and answers on the Upload page, above the chosen network.</p></div>"
        )
        second.html(figures.pairs_table(by_group))
        third.html(figures.pairs_table(shown))
        _show_damage(card)


def _declined(shares: dict[str, float], places: int = 1) -> dict[str, str]:
    return {
        f"{html.escape(kind.capitalize())}{'' if kind == 'noise' else 's'} declined": figures.percent(share, places)
        for kind, share in shares.items()
    }


def _servable_graph(card: shelf.Card) -> bytes:
    """The bytes of a graph that is its card's, and that can be served. Raises ShelfError."""
    graph = card.read_graph()
    _load_once(card.folder, card.dataset, card.name, card.sha256)
    return graph


@functools.lru_cache(maxsize=MOST_LOADED)
def _load_once(folder: Path, dataset: str, name: str, sha256: str) -> None:
    """Loads a graph as those who answer do, once for all who look at the page: it is a tenth of a second for each. Raises ShelfError."""
    sessions.classifier(shelf.load_card(dataset, name))


def _show_damage(card: shelf.Card) -> None:
    try:
        _servable_graph(card)
    except shelf.ShelfError as error:
        st.html(figures.error("The graph cannot be served", str(error)))


def _show_card(card: shelf.Card) -> None:
    facts = card.facts
    with st.container(border=True, height="stretch"):
        st.html(
            f'<div class="ink"><h3 style="padding:0;margin:0">{html.escape(card.title)}</h3><div class="ink-big">{figures.percent(card.test_accuracy, 2)}</div>'
            f'<p class="ink-lead">of {facts["test"]["n"]:,} test images</p>{figures.pairs_table(_figures(card))}</div>'
        )
        with st.expander("How it was trained", icon=":material/receipt_long:"):
            st.html(figures.pairs_table(_training(card)))
        try:
            graph = _servable_graph(card)
        except shelf.ShelfError as error:
            st.html(figures.error("The graph cannot be served", str(error)))
        else:
            st.download_button(
                "Download ONNX", graph, f"inkling-{card.dataset}-{card.name}.onnx", "application/octet-stream",
                icon=":material/download:", key=f"models-download-{card.name}", on_click="ignore", width="stretch",
            )  # fmt: skip
        if not card.is_shipped and visitor.may_act():
            with st.popover("Delete", icon=":material/delete:", width="stretch", key=f"models-delete-{card.name}"):
                st.write(f"Deletes {figures.in_markdown(card.title)} for everybody. What its retrain told stays on the page Retrains.")
                st.button("Delete for good", type="primary", key=f"models-delete-sure-{card.name}", on_click=_remove, args=(card,))
            problems.show(f"models-problem-{card.name}")


def _remove(card: shelf.Card) -> None:
    with problems.telling(f"models-problem-{card.name}"):
        visitor.demand("delete")
        shelf.remove(card)


def _show_mistakes(cards: list[shelf.Card]) -> None:
    """One confusion matrix, in the page's full width: ten columns do not fit into a card."""
    from ui import charts  # altair: a fifth of a second that the first page does not wait for

    st.subheader("What they mix up", anchor=False)
    by_name = {card.name: card for card in cards}
    titles = sidebar.told_apart({card.name: card.title for card in cards})
    chosen = sidebar.chosen_card()
    name = st.selectbox(
        "Network",
        list(by_name),
        index=list(by_name).index(chosen.name),
        format_func=titles.get,
        key=f"models-mistakes-{chosen.dataset}",
        width=320,
    )
    card = by_name[name]
    test = card.facts["test"]
    with st.container(width=720):
        st.altair_chart(
            charts.confusion_matrix(card.labels, test["confusion"]),
            key=f"models-confusion-{name}",
            height=max(460, 18 * len(card.labels)),
            alt=f"Confusion matrix of {card.title}: how many test images of each class were taken for which",
        )
    st.caption(
        f"{test['n']:,} test images: true class by row, answer by column. Red: mistakes; the darker, the larger a share of its class's."
    )
    if "reliability" in test:  # cards older than it do not have it
        st.subheader("How honest they are", anchor=False)
        with st.container(width=460):
            st.altair_chart(
                charts.reliability_diagram(test["reliability"]),
                key=f"models-reliability-{name}",
                height=380,
                alt=f"Reliability diagram of {card.title}: how often it is right, where it is how sure",
            )
        st.caption(
            f"A dot for each range of certainty: on the line, {figures.in_markdown(card.title)} is right as often as it says. "
            "The larger the dot, the more pictures; most are in the last one. "
            f"The mean distance of all pictures from the line is the calibration error, {figures.percent(test['calibration_error'], 2)}."
        )


def _figures(card: shelf.Card) -> dict[str, str]:
    facts = card.facts
    shown = {
        "Validation accuracy": figures.percent(card.val_accuracy, 2),
        "Calibration error": figures.percent(facts["test"]["calibration_error"], 2),
        "Parameters": f"{card.parameters:,}",
        "Networks inside": _inside(facts),
        "Size": f"{facts['bytes'] / 2**20:.1f} MB",
        "One picture, one core": f"{facts['latency_ms']:.2g} ms",
    }
    spread = facts["n_seeds"]
    if spread["n"] > 1:
        shown[_alone(facts)] = f"{figures.percent(spread['test']['mean'], 2)} ± {spread['test']['std'] * 100:.2f}"
    return shown


def _alone(facts: dict) -> str:
    """Whose mean and spread the card gives: of a mixture, of the first expert's networks only."""
    if "mixture" in facts:
        return f"First {facts['n_seeds']['n']} alone"
    return "Members alone" if facts["members"] > 1 else f"{facts['n_seeds']['n']} seeds"


def _inside(facts: dict) -> str:
    """How many; of a mixture, of each expert: "4 + 1"."""
    return " + ".join(str(each["members"]) for each in facts["mixture"]["of"]) if "mixture" in facts else str(facts["members"])


def _training(card: shelf.Card) -> dict[str, str]:
    """What its card says of that, escaped; a value that is none of today's settings as it stands there."""
    config, facts = card.facts["config"], card.facts
    shown = {
        "Data": f"{facts['data']['train']:,} images, {facts['data']['origin']}{LEARNED_BEFORE if facts['data'].get('learned_before') else ''}",
        "Optimizer": f"{retrain.OPTIMIZERS.get(config['optimizer'], config['optimizer'])}, lr {config['lr']:g}, {config['schedule'].replace('_', ' ')}",
        "Batch size": str(config["batch_size"]),
        "Epochs": str(config["epochs"]),
        "Augmentation": retrain.AUGMENTATIONS.get(config["augmentation"], config["augmentation"]),
        "Trained in": f"{figures.duration(facts['run']['seconds'])}, {facts['run']['device']}",
        "Date": facts.get("created", "")[:10] or "unknown",
    }
    if config["start_from"]:
        shown["Started from"] = config["start_from"]
    if "mixture" in facts:
        _, *others = (each["title"] for each in facts["mixture"]["of"])
        shown["Other hands"] = f"mixed with {', '.join(others)}"
    if config.get("redrawn"):  # cards older than these settings do not have them
        shown["Redrawn too"] = "other hands and pens"
    if isinstance(told := facts["run"].get("corrections"), int) and told:
        shown["Corrections"] = f"{told:,} learned"
    if config.get("teacher"):
        asked = f", {config['teacher_views']} views of each image" if config.get("teacher_views", 1) != 1 else ""
        shown["Teacher"] = f"{config['teacher']}{asked}"
    return {name: html.escape(value) for name, value in shown.items()}
