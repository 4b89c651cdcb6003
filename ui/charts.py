"""Charts: learning curves and confusion matrices."""

import altair as alt

from jobs.events import Event

ACCENT, SECOND = "#4f6ee6", "#d2873c"
MOST_POINTS = 400  # of a line: more than the pixels that it has
MOST_SLANTED = 12  # classes, beyond which a confusion matrix has its columns' names upright, and leaves out those without room
MOST_NUMBERED = 30  # classes, beyond which its cells have no room for figures
DIGIT = 6.5  # pixels of a figure in a cell


def loss_curve(steps: tuple[Event, ...], epochs: tuple[Event, ...], total_epochs: int) -> alt.LayerChart:
    """Training loss at every report, validation loss at every epoch's end, over epochs; one line a member.

    The axes have fixed ends: a live chart that rescales all the time cannot be read.
    """
    shown = steps[:: -(-len(steps) // MOST_POINTS) or 1]
    train = [{"epoch": event["x"], "loss": event["loss"], "network": event["member"] + 1} for event in shown]
    validation = [{"epoch": event["epoch"], "loss": event["val_loss"], "network": event["member"] + 1} for event in epochs]
    most = max(point["loss"] for point in train + validation)
    encoding = {
        "x": _epochs_axis(0, total_epochs),
        "y": alt.Y("loss:Q", title="loss", scale=alt.Scale(domain=[0, max(most, 1e-3)], nice=False), axis=alt.Axis(tickCount=3)),
        "detail": "network:N",
    }
    layers = [alt.Chart(alt.Data(values=train)).mark_line(color=ACCENT, strokeWidth=1.6, clip=True).encode(**encoding)]
    if validation:
        tooltip = ["network:N", "epoch:Q", alt.Tooltip("loss:Q", title="validation loss", format=".4f")]
        points = alt.Chart(alt.Data(values=validation)).mark_line(color=SECOND, point={"color": SECOND, "size": 28})
        layers.append(points.encode(**encoding, tooltip=tooltip))
    return alt.layer(*layers)


def accuracy_curve(epochs: tuple[Event, ...], total_epochs: int) -> alt.Chart:
    """Validation accuracy at every epoch's end."""
    values = [{"epoch": event["epoch"], "accuracy": event["val_accuracy"], "network": event["member"] + 1} for event in epochs]
    low, high = min(each["accuracy"] for each in values), max(each["accuracy"] for each in values)
    margin = max(0.002, (high - low) * 0.1)
    scale = alt.Scale(domain=[max(0, low - margin), min(1, high + margin)], nice=False)
    return (
        alt.Chart(alt.Data(values=values))
        .mark_line(color=SECOND, point={"color": SECOND, "size": 28})
        .encode(
            x=_epochs_axis(1, total_epochs),
            y=alt.Y("accuracy:Q", title="accuracy", scale=scale, axis=alt.Axis(format=".1%", tickCount=3)),
            detail="network:N",
            tooltip=["network:N", "epoch:Q", alt.Tooltip("accuracy:Q", title="validation accuracy", format=".2%")],
        )
    )


def _epochs_axis(first: int, last: int) -> alt.X:
    axis = alt.Axis(tickMinStep=1, tickCount=5, format="d") if last > 1 else alt.Axis(tickCount=3)
    return alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[first, max(last, first + 1)], nice=False), axis=axis)


def confusion_matrix(labels: tuple[str, ...], counts: list[list[int]]) -> alt.LayerChart:
    """Rows true, columns answered; a cell's colour is its share of the row's mistakes, so that the right ones do not drown them."""
    values = []
    for true, row in zip(labels, counts, strict=True):
        mistakes = max(1, sum(row) - row[labels.index(true)])
        for answer, count in zip(labels, row, strict=True):
            values.append(
                {
                    "true": true,
                    "answer": answer,
                    "count": count,
                    "share": 0.0 if true == answer else count / mistakes,
                    "right": true == answer,
                }
            )
    many = len(labels) > MOST_SLANTED
    angle = -90 if many else -40 if max(map(len, labels)) > 2 else 0
    plain = {"labelLimit": 90, "labelOverlap": "greedy" if many else False, "labelFlush": False, "ticks": False, "domain": False}
    scale = alt.Scale(domain=list(labels))  # also those that were never answered
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("answer:N", scale=scale, title="answer", axis=alt.Axis(labelAngle=angle, **plain)),
        y=alt.Y("true:N", scale=scale, title="true", axis=alt.Axis(**plain)),
        tooltip=[alt.Tooltip("true:N"), alt.Tooltip("answer:N"), alt.Tooltip("count:Q", title="images")],
    )
    # Colours that cover the ground, all light enough for dark figures: read in either theme, on a projector too.
    cells = (
        base.transform_filter("datum.count > 0")
        .mark_rect(cornerRadius=2)
        .encode(
            color=alt.condition(
                "datum.right",
                alt.value("#cfd8f8"),
                alt.Color("share:Q", scale=alt.Scale(range=["#f6e4df", "#e0755e"], domain=[0, 1]), legend=None),
            )
        )
    )
    if len(labels) > MOST_NUMBERED:
        return alt.layer(cells)
    # On a phone the columns of twenty classes are narrower than their figures, and hovering tells these too.
    fits = f"width >= {len(labels)} * {DIGIT} * length(toString(datum.count))"
    numbers = base.transform_filter("datum.count > 0").mark_text(fontSize=11, color="#1d2436", opacity=alt.expr(f"{fits} ? 1 : 0"))
    return cells + numbers.encode(text="count:Q")


def reliability_diagram(bins: list[list[float]]) -> alt.LayerChart:
    """How often the network is right (y) where it is so sure (x), a dot a bin, larger for more images; on the diagonal it is honest.

    bins: top probability, accuracy and number of images of each, as a card has them.
    """
    values = [{"sure": sure, "right": right, "images": images} for sure, right, images in bins]
    axis = alt.Axis(format=".0%", tickCount=5)
    scale = alt.Scale(domain=[0, 1])
    diagonal = alt.Chart(alt.Data(values=[{"sure": 0, "right": 0}, {"sure": 1, "right": 1}])).mark_line(strokeDash=[4, 4], color="#7c818e")
    line = diagonal.encode(
        x=alt.X("sure:Q", title="how sure", scale=scale, axis=axis), y=alt.Y("right:Q", title="how often right", scale=scale, axis=axis)
    )
    dots = (
        alt.Chart(alt.Data(values=values))
        .mark_circle(color=ACCENT, opacity=0.85)
        .encode(
            x="sure:Q",
            y="right:Q",
            size=alt.Size(
                "images:Q",
                scale=alt.Scale(type="log", domain=[1, max(10, *(each["images"] for each in values))], range=[25, 420]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("sure:Q", title="sure", format=".1%"),
                alt.Tooltip("right:Q", title="right", format=".1%"),
                alt.Tooltip("images:Q", format=","),
            ],
        )
    )
    return line + dots
