"""Charts of the Experiments page: tables as heat maps, curves and dots, learning curves, and two pictures of their own.

A chart that can be clicked has the selection `cell` with the field `place`, as in Outcome.place. Which cells are chosen is
part of its data, so that it looks the same whether they were clicked, listed or came with a link.
"""

import dataclasses
import math
from collections.abc import Sequence

import altair as alt

from jobs.summary import Outcome, changed_number, changes_of_recipe, convergence_epoch, epochs_of, noise_scale, settings_that_matter
from jobs.summary import value_in_words as in_words
from jobs.sweeps import Sweep
from jobs.tables import R3_CURVE
from ui import figures
from ui.charts import ACCENT, SECOND

# One a chosen cell, in the order of choosing; told apart without red and green, on light and on dark.
SERIES = (ACCENT, SECOND, "#2a9d8f", "#c4528f", "#8a8f9c", "#b39b1f", "#4fb0e0", "#9567c9")
RAMP = ("#1f2b5c", "#3d5199", "#7380a8", "#b3a98a", "#e6bf5c", "#f6d879")  # dark to bright in even steps, blue to yellow
QUIET, WARNING = "#7c818e", "#d2573c"
TEST = "#2a9d8f"
# Words on the page's own ground: with the text's colour in them they stand out from either theme by 4.5 to 1.
QUIET_WORDS, WARNING_WORDS = "color-mix(in srgb, currentColor 72%, transparent)", f"color-mix(in srgb, {WARNING} 70%, currentColor)"
INK, PAPER = "#1d2436", "#ffffff"
ROW_HEIGHT = 58
WIDE = 8  # times: losses over such a range are drawn on a logarithmic axis
LOSS_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000)


def picture(sweep: Sweep, outcomes: Sequence[Outcome], chosen: Sequence[str]) -> tuple[alt.LayerChart, int]:
    """The picture that suits a table, and its height in pixels. chosen: places, which take the colours of SERIES."""
    if len(sweep.rows) > 1 and len(sweep.columns) > 1:
        return _heat_map(sweep, outcomes, chosen), ROW_HEIGHT * len(sweep.rows) + 60
    if changed_number(sweep):
        return _number_line(sweep, outcomes, chosen), 340
    return _dots(outcomes, chosen), 50 * len(outcomes) + 110


def _point() -> alt.Parameter:
    return alt.selection_point(name="cell", fields=["place"], toggle="event.shiftKey", empty=False)


def _facts(outcome: Outcome, chosen: Sequence[str]) -> dict[str, object]:
    """One cell's data: what the picture draws, and what hovering shows."""
    unused = {f"set_{item.name}": "not used" for item in dataclasses.fields(outcome.config)}
    settings = {name: in_words(value) for name, value in settings_that_matter(outcome.config).items()}
    mean, std = outcome.mean, outcome.std or 0.0
    return {
        "place": outcome.place,
        "title": outcome.title,
        "mean": mean,
        "low": None if mean is None else mean - std,
        "high": None if mean is None else min(1.0, mean + std),
        "reference": outcome.reference,
        "gap": WARNING if outcome.verdict == "differs" else QUIET,
        "gap_width": 3 if outcome.verdict == "differs" else 1,
        "ours": _ours(outcome),
        "source": "no figure" if outcome.reference is None else f"{outcome.reference:.2%}",
        "difference": "" if outcome.difference is None else f"{figures.signed(outcome.difference)} points",
        "ring": SERIES[chosen.index(outcome.place) % len(SERIES)] if outcome.place in chosen else "transparent",
        **unused,
        **{f"set_{name}": value for name, value in settings.items()},
    }


def _ours(outcome: Outcome) -> str:
    figure, rest = outcome.told
    return f"{figure} ({rest})" if rest else figure


def _tooltip(outcomes: Sequence[Outcome]) -> list[alt.Tooltip]:
    """What hovering shows: first what the table's cells change of their recipe, then the figures, then all other settings."""
    matter = {name: None for outcome in outcomes for name in settings_that_matter(outcome.config)}
    changed = {name: None for outcome in outcomes for name in changes_of_recipe(outcome)}
    names = [*changed, *(name for name in matter if name not in changed)]
    figures = [alt.Tooltip("ours:N", title="ours"), alt.Tooltip("source:N"), alt.Tooltip("difference:N")]
    rows = [alt.Tooltip(f"set_{name}:N", title=name.replace("_", " ")) for name in names]
    return [alt.Tooltip("title:N", title="cell"), *rows[: len(changed)], *figures, *rows[len(changed) :]]


def _colour(share: float) -> str:
    """The colour of RAMP at 0 (worst) to 1 (best)."""
    place = max(0.0, min(1.0, share)) * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    first, second = (tuple(int(RAMP[index][at : at + 2], 16) for at in (1, 3, 5)) for index in (low, low + 1))
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in zip(first, second, strict=True))


def readable_on(colour: str) -> str:
    """The ink or the paper, whichever stands out more from a colour '#rrggbb' (contrast as WCAG 2 counts it)."""

    def luminance(of: str) -> float:
        parts = [int(of[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light = luminance(colour)
    return PAPER if 1.05 / (light + 0.05) > (light + 0.05) / (luminance(INK) + 0.05) else INK


def _heat_map(sweep: Sweep, outcomes: Sequence[Outcome], chosen: Sequence[str]) -> alt.LayerChart:
    """Coloured by the error's logarithm: linear, the few cells that learned nothing would make all others look alike."""
    errors = [math.log10(max(1e-4, 1 - each.mean)) for each in outcomes if each.mean is not None]
    worst, best = max(errors, default=0.0), min(errors, default=0.0)
    values = []
    for each in outcomes:
        colour = None
        if each.mean is not None:
            colour = _colour((worst - math.log10(max(1e-4, 1 - each.mean))) / ((worst - best) or 1.0))
        number = f"{each.mean * 100:.2f}" if each.mean is not None else "diverged" if each.state == "diverged" else "–"
        differs = each.verdict == "differs"
        values.append(
            _facts(each, chosen)
            | {
                "row": sweep.rows[each.row].title,
                "column": sweep.columns[each.column].title,
                "fill": colour or "#7c818e1f",
                "number": number,
                "ink": readable_on(colour) if colour else WARNING_WORDS if each.state == "diverged" else QUIET_WORDS,
                "below": "" if each.reference is None else f"{'≠ ' if differs else ''}{each.reference * 100:.2f}",
                "weight": "bold" if differs else "normal",
            }
        )
    columns = "split(width < 420 ? replace(datum.label, 'batch ', 'B ') : datum.label, ', ')"  # a phone leaves 48 pixels each
    plain = {"ticks": False, "domain": False, "title": None, "labelLineHeight": 14, "labelOverlap": False}
    across = alt.Axis(orient="top", labelAngle=0, labelAlign="center", labelFlush=False, labelExpr=columns, **plain)
    apart = alt.Scale(paddingInner=0.05, paddingOuter=0.02)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("column:N", sort=[column.title for column in sweep.columns], axis=across, scale=apart),
        y=alt.Y("row:N", sort=[row.title for row in sweep.rows], axis=_rows_axis(), scale=apart),
    )
    cells = (
        base.mark_rect(cornerRadius=6, strokeWidth=4, cursor="pointer")
        .encode(
            color=alt.Color("fill:N", scale=None),
            stroke=alt.Stroke("ring:N", scale=None),
            tooltip=_tooltip(outcomes),
            opacity=alt.value(1),
        )
        .add_params(_point())
    )
    ink = alt.Color("ink:N", scale=None)
    numbers = base.mark_text(fontSize=12.5, fontWeight=600, dy=-7).encode(text="number:N", color=ink)
    # bold cannot be an encoding: one layer each
    below = base.mark_text(fontSize=10.5, dy=10).encode(text="below:N", color=ink)
    return cells + numbers + below.transform_filter("datum.weight == 'normal'") + _bold(below)


def _rows_axis() -> alt.Axis:
    """Names at the left, broken at their commas and centred on their rows."""
    lines = "length(split(datum.label, ', '))"
    lift = {"condition": [{"test": f"{lines} > 2", "value": -13}, {"test": f"{lines} > 1", "value": -7}], "value": 0}
    return alt.Axis(
        ticks=False, domain=False, grid=False, title=None, labelLimit=150, labelLineHeight=14, labelOverlap=False,
        labelExpr="split(datum.label, ', ')", labelOffset=lift,
    )  # fmt: skip


def _bold(below: alt.Chart) -> alt.Chart:
    marked = below.transform_filter("datum.weight == 'bold'")
    return marked.mark_text(fontSize=10.5, dy=10, fontWeight="bold")


def _accuracy_scale(outcomes: Sequence[Outcome]) -> alt.Scale:
    shown = [value for each in outcomes for value in (*each.accuracies, each.reference) if value is not None]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    margin = max(0.002, (high - low) * 0.08)
    return alt.Scale(domain=[max(0.0, low - margin), min(1.0, high + margin)], nice=False, zero=False)


def _who(values: list[dict]) -> tuple[list[dict], alt.Color, alt.Shape]:
    """Ours and the source's figure as points of two looks, with a legend."""
    points = [
        value | {"who": who, "accuracy": value[key]}
        for value in values
        for who, key in (("ours", "mean"), ("source", "reference"))
        if value[key] is not None
    ]
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1)
    colour = alt.Color("who:N", scale=alt.Scale(domain=["ours", "source"], range=[ACCENT, SECOND]), legend=legend)
    shape = alt.Shape("who:N", scale=alt.Scale(domain=["ours", "source"], range=["circle", "diamond"]), legend=None)
    return points, colour, shape


def _number_line(sweep: Sweep, outcomes: Sequence[Outcome], chosen: Sequence[str]) -> alt.LayerChart:
    name = changed_number(sweep)
    values = [_facts(each, chosen) | {"value": getattr(each.config, name)} for each in outcomes]
    numbers = sorted(value["value"] for value in values)
    x = alt.X(
        "value:Q",
        title=name.replace("_", " ").replace("lr", "learning rate"),
        scale=alt.Scale(type="log", domain=[numbers[0] / 1.25, numbers[-1] * 1.25], nice=False),
        axis=alt.Axis(values=numbers, labelExpr="format(datum.value, '~r')", grid=False, labelOverlap="greedy"),
    )
    y = alt.Y("accuracy:Q", title="test accuracy", scale=_accuracy_scale(outcomes), axis=alt.Axis(format=".1%", tickCount=5))
    points, colour, shape = _who(values)
    drawn = alt.Chart(alt.Data(values=points)).encode(x=x, y=y)
    lines = drawn.mark_line(strokeWidth=1.8, opacity=0.75).encode(color=colour, detail="who:N")
    marks = drawn.mark_point(filled=True, size=70, opacity=1).encode(color=colour, shape=shape)
    bars = _whiskers(values, x, "y")
    rings = _rings(values).encode(x=x, y=alt.Y("mean:Q", scale=_accuracy_scale(outcomes)))
    hit = alt.Chart(alt.Data(values=values)).mark_rule(strokeWidth=26, opacity=0.001, cursor="pointer")
    hit = hit.encode(x=x, tooltip=_tooltip(outcomes)).add_params(_point())
    links = _gaps([value for value in values if value["gap"] == WARNING])
    links = links.encode(x=x, y=alt.Y("mean:Q", title="test accuracy"), y2="reference:Q")
    return lines + links + bars + marks + rings + hit


def _dots(outcomes: Sequence[Outcome], chosen: Sequence[str]) -> alt.LayerChart:
    values = [_facts(each, chosen) | {"name": in_words(each.title)} for each in outcomes]
    y = alt.Y("name:N", sort=[value["name"] for value in values], axis=_rows_axis())
    scale = _accuracy_scale(outcomes)
    x = alt.X("accuracy:Q", title="test accuracy", scale=scale, axis=alt.Axis(format=".1%", tickCount=4, grid=False))
    points, colour, shape = _who(values)
    links = _gaps(values).encode(y=y, x=alt.X("mean:Q", scale=scale, title="test accuracy"), x2="reference:Q")
    marks = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=95, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    rings = _rings(values).encode(x=alt.X("mean:Q", scale=scale), y=y)
    hit = alt.Chart(alt.Data(values=values)).mark_rect(opacity=0.001, cursor="pointer").encode(y=y, tooltip=_tooltip(outcomes))
    return links + _whiskers(values, y, "x", scale) + marks + rings + hit.add_params(_point())


def _gaps(values: list[dict]) -> alt.Chart:
    """From our mark to the source's: thin, or thick and red where the figure did not reproduce."""
    both = [value for value in values if None not in (value["mean"], value["reference"])]
    width = alt.StrokeWidth("gap_width:Q", scale=None)
    return alt.Chart(alt.Data(values=both)).mark_rule(opacity=0.85).encode(color=alt.Color("gap:N", scale=None), strokeWidth=width)


def _rings(values: list[dict]) -> alt.Chart:
    """A ring around what is chosen, in the colour of its curves."""
    chart = alt.Chart(alt.Data(values=[value for value in values if value["ring"] != "transparent" and value["mean"] is not None]))
    return chart.mark_point(size=330, strokeWidth=3, filled=False, opacity=1).encode(color=alt.Color("ring:N", scale=None))


def _whiskers(values: list[dict], across: alt.X | alt.Y, along: str, scale: alt.Scale | None = None) -> alt.Chart:
    """One standard deviation either side of our means."""
    chart = alt.Chart(alt.Data(values=[value for value in values if value["mean"] is not None])).mark_rule(color=ACCENT, strokeWidth=2.5)
    if along == "y":
        return chart.encode(x=across, y=alt.Y("low:Q", title="test accuracy"), y2="high:Q")
    return chart.encode(y=across, x=alt.X("low:Q", scale=scale, title="test accuracy"), x2="high:Q")


def learning_curve(outcomes: Sequence[Outcome], figure: str) -> alt.Chart | None:
    """train_loss, val_loss or val_accuracy over epochs: a colour a cell, a line a seed and member. None without any epoch."""
    values = [
        {"cell": each.title, "seed": run.get("seed"), "network": epoch["member"] + 1, "epoch": epoch["epoch"], "value": epoch[figure]}
        for each in outcomes
        for run in each.runs
        for epoch in epochs_of(run)
        if epoch[figure] is not None and (figure == "val_accuracy" or epoch[figure] > 0)
    ]
    if not values:
        return None
    titles = [each.title for each in outcomes]
    percent = figure == "val_accuracy"
    title = {"train_loss": "training loss", "val_loss": "validation loss", "val_accuracy": "validation accuracy"}[figure]
    low, high = min(value["value"] for value in values), max(value["value"] for value in values)
    margin = max(0.002, (high - low) * 0.08)
    scale = {"domain": [max(0, low - margin), min(1, high + margin)]} if percent else {"type": "log", "domain": [low / 1.1, high * 1.1]}
    if not percent and high < WIDE * low:  # too little for a logarithmic axis to have ticks
        scale = {"domain": [0, high * 1.05]}
    last = max(value["epoch"] for value in values)
    ticks = (
        {"tickCount": 5} if percent or "type" not in scale else {"values": [tick for tick in LOSS_TICKS if low / 1.1 <= tick <= high * 1.1]}
    )
    return (
        alt.Chart(alt.Data(values=values), title=alt.Title(title, anchor="start", fontSize=13, fontWeight=500), padding={"right": 12})
        .mark_line(strokeWidth=1.8, point={"size": 22} if last <= 8 else False, clip=True)
        .encode(
            x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[1, max(2, last)], nice=False), axis=alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False, labelFlush=True)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(nice=False, **scale), axis=alt.Axis(format=".0%" if percent and high - low > 0.1 else ".1%" if percent else "~g", **ticks,)),
            color=alt.Color("cell:N", scale=alt.Scale(domain=titles, range=list(SERIES[: len(titles)])), legend=None),
            detail=["seed:N", "network:N"],
            tooltip=["cell:N", "seed:N", "network:N", "epoch:Q", alt.Tooltip("value:Q", title=title, format=".2%" if percent else ".4f")],
        )
    )  # fmt: skip


def noise_scales(outcomes: Sequence[tuple[str, Outcome]]) -> alt.LayerChart:
    """Accuracy over the gradient's noise scale, a colour a batch size. outcomes: each with the name of its network."""
    values = [
        {
            "scale": noise_scale(each.config),
            "accuracy": each.mean,
            "network": name,
            "batch": f"batch {each.config.batch_size}",
            "lr": f"{each.config.lr:g}",
            "ours": _ours(each),
        }
        for name, each in outcomes
        if each.mean is not None
    ]
    scales = [value["scale"] for value in values]
    batches = sorted({value["batch"] for value in values}, key=lambda text: (len(text), text))
    names = list(dict.fromkeys(value["network"] for value in values))
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("scale:Q", title="lr / (1 − momentum) × N / batch", scale=alt.Scale(type="log", domain=[min(scales) / 1.5, max(scales) * 1.5], nice=False), axis=alt.Axis(format="~g", tickCount=5, grid=False)),
        y=alt.Y("accuracy:Q", title="test accuracy", axis=alt.Axis(format=".0%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("batch:N", scale=alt.Scale(domain=batches, range=[ACCENT, SECOND]), legend=alt.Legend(title=None, orient="top", symbolOpacity=1)),
    )  # fmt: skip
    shapes = ["circle", "square", "triangle-up", "diamond", "cross"]
    points = base.mark_point(filled=True, size=85, opacity=0.95).encode(
        shape=alt.Shape(
            "network:N",
            scale=alt.Scale(domain=names, range=shapes[: len(names)]),
            legend=alt.Legend(
                title=None, orient="bottom", columns=alt.expr("width < 420 ? 1 : 2"), symbolFillColor=QUIET, symbolStrokeColor=QUIET
            ),
        ),
        tooltip=["network:N", "batch:N", "lr:N", alt.Tooltip("scale:Q", title="noise scale", format=",.4~f"), "ours:N"],
    )
    return base.mark_line(strokeWidth=1.4, opacity=0.5).encode(detail="network:N") + points


def every_epoch(outcome: Outcome) -> alt.LayerChart:
    """R3: validation and test accuracy after each epoch, one line a seed, the source's test accuracy, and where each run
    converged."""
    ours, stops = [], []
    for run in outcome.runs:
        epochs = epochs_of(run)
        for name, figure in (("validation", "val_accuracy"), ("test", "test_accuracy")):
            ours += [
                {"epoch": each["epoch"], "accuracy": each[figure], "who": name, "seed": str(run.get("seed"))}
                for each in epochs
                if each[figure] is not None
            ]
        validation = [each for each in epochs if each["val_accuracy"] is not None]
        stop = convergence_epoch([each["val_accuracy"] for each in validation])
        if stop is not None:
            stops.append(
                {"epoch": validation[stop - 1]["epoch"], "accuracy": validation[stop - 1]["val_accuracy"], "seed": str(run.get("seed"))}
            )
    source = [
        {"epoch": number, "accuracy": value / 100, "who": "test of the source", "seed": "its one run"}
        for number, value in enumerate(R3_CURVE, 1)
    ]
    values = ours + source
    low, high = min(value["accuracy"] for value in values), max(value["accuracy"] for value in values)
    names = ["validation", "test", "test of the source"]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("epoch:Q", scale=alt.Scale(domain=[1, max(value["epoch"] for value in values)], nice=False), axis=alt.Axis(grid=False)),
        y=alt.Y("accuracy:Q", scale=alt.Scale(domain=[low - 0.003, high + 0.003], nice=False), axis=alt.Axis(format=".1%", tickCount=6)),
    )
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=names, range=[ACCENT, TEST, SECOND]),
        legend=alt.Legend(title=None, orient="top", columns=alt.expr("width < 420 ? 2 : 3"), symbolOpacity=1),  # for phones
    )
    lines = base.mark_line(strokeWidth=1.7, point={"size": 14}).encode(
        color=colour, detail="seed:N", tooltip=["who:N", "seed:N", "epoch:Q", alt.Tooltip("accuracy:Q", format=".2%")]
    )
    marked = alt.Chart(alt.Data(values=stops))
    rules = marked.mark_rule(color=ACCENT, strokeDash=[4, 3], opacity=0.7).encode(x="epoch:Q")
    spots = marked.mark_point(size=190, strokeWidth=2.5, filled=False, color=ACCENT, opacity=1).encode(
        x="epoch:Q", y="accuracy:Q", tooltip=[alt.Tooltip("epoch:Q", title="converged at epoch"), "seed:N"]
    )
    return lines + rules + spots
