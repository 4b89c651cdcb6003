"""The Experiments page: the reference systems and every published table beside what was measured here."""

import time

import streamlit as st

from jobs import links, summary, tables
from jobs.summary import Outcome
from jobs.sweeps import Sweep
from ui import figures, outcome_figures, settings, sidebar, visitor

SCALES = (("r1a", None), ("r1b", "SGD, momentum 0.9"))  # sweeps and the row of each that the noise scale is drawn for
CURVES = ("train_loss", "val_loss", "val_accuracy")
ECHO = 2.0  # seconds after a step of the browser's history in which widgets may still tell what they showed before it


def page() -> None:
    """Shows the page."""
    st.html(
        figures.heading(
            "Experiments", "Seven published systems, measured again: what reproduced, what did not, and what better training makes of them."
        )
    )
    _follow_history()
    sweep = _choose_sweep()
    outcomes = summary.read_outcomes(sweep)
    st.caption(f"{sweep.about[0].upper()}{sweep.about[1:]}.")
    if missing := outcome_figures.progress(outcomes):
        st.html(missing)
    if sweep.name == "systems":
        st.html(outcome_figures.systems_table(outcomes))
        devices = ", ".join(sorted({device for outcome in outcomes for device in outcome.devices}))
        st.caption(
            f"Test accuracy on 10,000 images, mean ± standard deviation over n seeds. Time: all epochs of one run{f' on {devices}' if devices else ''}. In small under time and parameters: the improved system's."
        )
    places = _kept()["cells"].setdefault(sweep.name, [outcomes[0].place] if len(outcomes) == 1 else [])
    if sweep.name == "r3":
        _show_every_epoch(outcomes[0])
    elif sweep.name != "systems":
        _show_picture(sweep, outcomes, places)
    chosen = _choose_cells(sweep, outcomes, places)
    if chosen:
        _show_chosen(sweep, chosen)
    if sweep.name in dict(SCALES):
        _show_noise_scale()
    _show_misses(outcomes)
    _write_link(sweep)


def _kept() -> dict:
    """The table and, by table, the places chosen: they outlive the widgets, which forget when the page is left."""
    return st.session_state.setdefault("experiments-kept", {"sweep": next(iter(tables.SWEEPS)), "cells": {}})


def _choose_sweep() -> Sweep:
    st.session_state.setdefault("experiments-sweep", _kept()["sweep"])
    name = st.selectbox(
        "Table",
        list(tables.SWEEPS),
        format_func=lambda name: tables.SWEEPS[name].title,
        key="experiments-sweep",
        width=360,
        on_change=_chosen,
    )
    _kept()["sweep"] = name
    return tables.SWEEPS[name]


def _chosen() -> None:
    """Takes over another table."""
    if _is_echo("experiments-sweep"):
        st.session_state["experiments-sweep"] = _kept()["sweep"]
    else:
        _go_on()


def _is_echo(key: str) -> bool:
    """Whether a widget tells what the browser's history has just led away from: a panel of the sidebar that looks by itself at that moment
    sends what the widgets still show, as if the visitor had chosen it."""
    left, moment = st.session_state.get("experiments-left", ({}, -ECHO))
    return time.monotonic() - moment < ECHO and key in left and left[key] == st.session_state[key]


def _go_on() -> None:
    """After each choice: what was wrong with the link that the visitor came by is no news, and the address is behind."""
    st.session_state["link-complaints"] = []
    st.session_state["experiments-acted"] = True


def _follow_history() -> None:
    """The browser's back and forward buttons change the address alone: table and cells go with it, unless the visitor has just
    chosen others, when it is only not yet written. An address without a table means the first one, but to who comes from another page,
    who finds what was chosen before."""
    acted = st.session_state.pop("experiments-acted", False)
    is_coming = "experiments-sweep" not in st.session_state
    texts, written = st.query_params.to_dict(), st.session_state.get("experiments-written")
    name, cells = texts.get("sweep", "" if is_coming else next(iter(tables.SWEEPS))), texts.get("cells", "")
    if acted or written is None or name not in tables.SWEEPS or (name, cells) == written:
        return
    places, _ = links.read_cells(name, cells)
    key = f"experiments-cells-{name}"
    left = {"experiments-sweep": _kept()["sweep"], key: list(_kept()["cells"].get(name, []))}
    st.session_state["experiments-left"] = left, time.monotonic()
    _kept()["sweep"] = st.session_state["experiments-sweep"] = name
    _kept()["cells"][name] = st.session_state[key] = places


def _show_picture(sweep: Sweep, outcomes: tuple[Outcome, ...], places: list[str]) -> None:
    from ui import sweep_charts  # altair: a fifth of a second that the first page does not wait for

    chart, height = sweep_charts.picture(sweep, outcomes, places)
    key = f"experiments-picture-{sweep.name}-{st.session_state.get('experiments-listed', 0)}"
    with st.container(width=860):
        st.altair_chart(
            chart, key=key, height=height, on_select=lambda: _clicked(sweep.name, key), selection_mode="cell", alt=f"{sweep.title}: {sweep.about}"
        )  # fmt: skip
    is_map = len(sweep.rows) > 1 < len(sweep.columns)
    marks = (
        "Second line: the source's figure, ≠ where it did not reproduce."
        if is_map
        else "Bars: one standard deviation. Red between two marks: did not reproduce."
    )
    marks = marks if any(outcome.reference is not None for outcome in outcomes) else ""
    st.caption(
        f"Test accuracy in %. {marks} Click {'a cell' if is_map else 'a mark'} to see its runs; with shift, to lay several over each other."
    )


def _clicked(sweep: str, key: str) -> None:
    """Takes over a click: alone it replaces what was chosen, with shift it adds or removes."""
    state = st.session_state.get(key) or {}
    now = [item["place"] for item in state.get("selection", {}).get("cell", []) if "place" in item]
    before = st.session_state.get(f"{key}-before", [])
    _go_on()
    chosen = _kept()["cells"].setdefault(sweep, [])
    if len(now) > 1:
        turned = set(now) ^ set(before)
        now = [place for place in chosen if place not in turned] + [place for place in now if place in turned and place not in chosen]
    st.session_state[f"{key}-before"] = [item["place"] for item in state.get("selection", {}).get("cell", []) if "place" in item]
    _kept()["cells"][sweep] = now[: links.MOST_CELLS]
    st.session_state[f"experiments-cells-{sweep}"] = _kept()["cells"][sweep]


def _listed(sweep: str) -> None:
    """Takes over the list; the picture is made anew, so that it forgets what was clicked in it."""
    key = f"experiments-cells-{sweep}"
    if _is_echo(key):
        st.session_state[key] = list(_kept()["cells"].get(sweep, []))
        return
    _go_on()
    _kept()["cells"][sweep] = list(st.session_state[f"experiments-cells-{sweep}"])
    st.session_state["experiments-listed"] = st.session_state.get("experiments-listed", 0) + 1


def _choose_cells(sweep: Sweep, outcomes: tuple[Outcome, ...], places: list[str]) -> list[Outcome]:
    by_place = {outcome.place: outcome for outcome in outcomes}
    key = f"experiments-cells-{sweep.name}"
    st.session_state.setdefault(key, list(places))
    chosen = st.multiselect(
        "Runs to look at",
        list(by_place),
        format_func=lambda place: by_place[place].title,
        key=key,
        max_selections=links.MOST_CELLS,
        placeholder="Choose up to eight",
        on_change=_listed,
        args=(sweep.name,),
    )
    return [by_place[place] for place in chosen]


def _show_chosen(sweep: Sweep, chosen: list[Outcome]) -> None:
    from ui import sweep_charts

    titles = [outcome.title for outcome in chosen]
    charts = [chart for name in CURVES if (chart := sweep_charts.learning_curve(chosen, name)) is not None]
    if charts:
        st.html(outcome_figures.legend(titles, sweep_charts.SERIES))
        for column, chart, name in zip(st.columns(len(charts)), charts, CURVES, strict=False):
            with column:
                st.altair_chart(chart, key=f"experiments-curve-{name}", height=240, alt=f"{chart.title.text} over the epochs")
        st.caption(
            "One line a seed. Losses of a wide range on a logarithmic axis; the training loss is the run's own, the validation loss always cross entropy."
        )
    else:
        st.html(figures.empty("No curves yet", f"What is chosen has not been measured: python -m training sweep {sweep.name}"))
    columns = st.columns(2, gap="medium") if len(chosen) > 1 else [st.container()]
    for index, outcome in enumerate(chosen):
        with columns[index % len(columns)], st.container(border=True):
            st.html(outcome_figures.cell(outcome, sweep_charts.SERIES[index]))
            if visitor.may_act():  # others have no form that it could fill
                st.button(
                    "Retrain with these settings", icon=":material/tune:", key=f"experiments-retrain-{sweep.name}-{outcome.place}",
                    width="stretch", on_click=_retrain, args=(sweep.title, outcome),
                )  # fmt: skip


def _retrain(table: str, outcome: Outcome) -> None:
    settings.give(outcome.config, summary.full_title(outcome))
    st.toast("The retrain form in the sidebar has these settings now.", icon=":material/tune:")


def _show_noise_scale() -> None:
    from ui import sweep_charts

    cells = [
        (f"{'SGD, ' if row is None else ''}{tables.SWEEPS[name].rows[outcome.row].title}", outcome)
        for name, row in SCALES
        for outcome in summary.read_outcomes(tables.SWEEPS[name])
        if row in (None, tables.SWEEPS[name].rows[outcome.row].title)
    ]
    measured = [outcome for _, outcome in cells if outcome.mean is not None]
    if not measured:
        return
    st.subheader("Noise scale", anchor=False)
    st.altair_chart(
        sweep_charts.noise_scales(cells), key="experiments-noise", height=400, alt="test accuracy over the noise scale of the gradient"
    )
    at_scale, at_lr = summary.gaps(measured)
    sentence = ""
    if at_scale and at_lr:
        sentence = (
            f" Measured here: at the same noise scale the two batch sizes lie {sum(at_scale) / len(at_scale) * 100:.1f} points apart on average "
            f"({len(at_scale)} pairs), at the same learning rate {sum(at_lr) / len(at_lr) * 100:.1f} points ({len(at_lr)} pairs)."
        )
    st.caption(
        "Where the two colours lie on one curve, only the noise scale lr / (1 − momentum) × N / batch counts: ten times the batch acts like a tenth of the "
        f"learning rate (N = {summary.TRAIN_IMAGES:,} images; Smith et al., “Don't decay the learning rate, increase the batch size”).{sentence}"
    )


def _show_every_epoch(outcome: Outcome) -> None:
    from ui import sweep_charts

    st.altair_chart(sweep_charts.every_epoch(outcome), key="experiments-r3", height=400, alt="accuracy after each epoch")
    stops = [
        summary.convergence_epoch([each["val_accuracy"] for each in summary.epochs_of(run) if each["val_accuracy"] is not None])
        for run in outcome.runs
    ]
    stops = [str(stop) for stop in stops if stop is not None]
    ours = f"ours: {', '.join(stops)} (circles; one a seed)" if stops else "ours: not measured yet"
    st.caption(
        f"Epoch of convergence: the first whose accuracy is within {summary.CONVERGED_WITHIN * 100:g} points of the run's best. By validation, {ours}. By the "
        f"same rule the source's test curve converges at {summary.convergence_epoch([value / 100 for value in tables.R3_CURVE])}; it read off about 25."
    )


def _show_misses(outcomes: tuple[Outcome, ...]) -> None:
    compared = [outcome for outcome in outcomes if outcome.verdict in ("reproduced", "differs")]
    if not compared:
        return
    differs = sum(outcome.verdict == "differs" for outcome in compared)
    st.subheader("What did not reproduce", anchor=False)
    st.html(outcome_figures.misses(outcomes) or "<p>Nothing, as far as it was measured.</p>")
    st.caption(f"{differs} of {len(compared)} figures. {outcome_figures.RULE}")


def _write_link(sweep: Sweep) -> None:
    """Puts table, cells and the retrain form's settings into the address, so that the address shares them."""
    places = _kept()["cells"].get(sweep.name, [])
    texts = {"sweep": sweep.name} | ({"cells": links.write_cells(places)} if places else {})
    st.session_state["experiments-written"] = (sweep.name, texts.get("cells", ""))
    given = settings.given()
    config = settings.asked() if visitor.may_act() else given and given.config  # who has no form keeps what the link gave
    texts |= links.write_config(config) if config is not None else {}
    written = st.query_params.to_dict()
    is_first = texts == {"sweep": next(iter(tables.SWEEPS))} and set(written) <= {settings.DATASET}
    texts |= sidebar.in_address()
    if texts != written and not is_first:  # each writing is a step of the browser's history: what is meant anyway is none
        st.query_params.from_dict(texts)
