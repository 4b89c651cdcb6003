"""Answers and figures as HTML: the one place where fractions become per cent. Everything from outside is escaped."""

import base64
import html
import io
import re

import numpy as np
from PIL import Image

from inference.classify import ALL_BUT_CERTAIN, Answer
from inference.opencv import opencv
from models.datasets import NONE_OF_THEM, DatasetInfo
from models.shelf import Card

GROUND = (150, 150, 150)  # that of neither theme
PHOTO_SIDE = 100  # pixels of the shorter side, from which a picture is shown as JPEG
MOST_BARS = 12  # of more classes the most probable ones are shown
LONG = 16  # characters of an answer, more than the name of any built-in class has


def percent(fraction: float, digits: int = 1) -> str:
    """0.9934 -> '99.3 %'."""
    return f"{fraction * 100:.{digits}f} %"


def signed(fraction: float, digits: int = 2) -> str:
    """A difference in points, -0.0754 as 7.54 behind a minus, which is no hyphen."""
    return f"{round(fraction * 100, digits) + 0.0:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def confidence(fraction: float) -> str:
    """A probability without false certainty: what rounds to 100 % is told as 'over 99.9 %'."""
    return "over 99.9 %" if fraction > ALL_BUT_CERTAIN else percent(fraction)


def duration(seconds: float) -> str:
    """Seconds for people: '8 s', '2 min', '1 h 5 min', with spaces at which no line breaks."""
    minutes = round(seconds / 60)
    if seconds < 90:
        told = f"{round(seconds)} s"
    elif minutes < 60:
        told = f"{minutes} min"
    else:
        told = f"{minutes // 60} h {minutes % 60} min"
    return told.replace(" ", "\N{NO-BREAK SPACE}")


def sentence(text: str) -> str:
    """What an error says, as a sentence of its own."""
    return text[:1].upper() + text[1:] + "." * (text[-1:] not in ("", ".", "!", "?"))


def in_markdown(text: str) -> str:
    """A text from outside for where Streamlit reads Markdown, which it is not: a class may be called + or 1. or *a*."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def data_url(image: Image.Image | np.ndarray) -> str:
    """A picture as a data URL: uint8 [H, W] or [H, W, 3] where it is an array. PNG, but JPEG where it is a photo: a quarter to send and to keep."""
    if isinstance(image, np.ndarray):
        content = opencv().imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]  # a fifth of Pillow's time for 28x28
        return _data_url("png", content)
    buffer = io.BytesIO()
    if min(image.size) >= PHOTO_SIDE and image.mode in ("L", "RGB"):
        image.save(buffer, "JPEG", quality=85)
        return _data_url("jpeg", buffer.getvalue())
    image.save(buffer, "PNG", compress_level=1)
    return _data_url("png", buffer.getvalue())


def _data_url(kind: str, content: bytes | np.ndarray) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def faded(image: Image.Image, inside: np.ndarray) -> Image.Image:
    """A picture with what is not inside, bool [h, w] of any size, near to the page's grey."""
    mask = Image.fromarray(inside).convert("L").resize(image.size, Image.Resampling.BILINEAR)
    plain = image.convert("RGB")
    return Image.composite(plain, Image.blend(plain, Image.new("RGB", image.size, GROUND), 0.72), mask)


def bars(card: Card, probabilities: np.ndarray, is_declined: bool = False) -> str:
    """One bar a class, the most probable one marked; of many classes only the most probable, best first. Of a declined picture all are
    grey: it is none of them.
    """
    best = int(probabilities.argmax())
    shown = range(len(card.labels)) if len(card.labels) <= MOST_BARS else np.argsort(-probabilities, kind="stable")[:MOST_BARS]
    rows = []
    for index in shown:
        label, probability = card.labels[index], probabilities[index]
        top = " top" if index == best and not is_declined else ""
        rows.append(
            f'<span class="label{top}">{html.escape(label)}</span>'
            f'<span class="track"><span class="fill{top}" style="display:block;width:{probability * 100:.1f}%"></span></span>'
            f'<span class="value{top}">{percent(float(probability)) if probability <= ALL_BUT_CERTAIN else "> 99.9 %"}</span>'
        )
    rest = len(card.labels) - len(rows)
    note = f'<p class="ink-note">and {rest} less probable {"class" if rest == 1 else "classes"}</p>' if rest else ""
    return f'<div class="ink-bars" data-testid="bars">{"".join(rows)}</div>{note}'


def seen(answer: Answer) -> str:
    """The picture that the network sees, enlarged."""
    url = data_url(answer.prepared.pixels)
    height, width = answer.prepared.pixels.shape[:2]
    return f'<figure class="ink-seen"><img src="{url}" alt="the {height}x{width} pixels that the network sees"><figcaption>what the network sees</figcaption></figure>'


def verdict(card: Card, answer: Answer, with_bars: bool = True) -> str:
    """The whole answer of one network to one picture."""
    shown, unsure = said(card, answer)
    word = _size(shown)
    who = f"{'asked' if answer.stranger else 'says'} {html.escape(card.title)}"
    note = f"<small>{html.escape(answer.reason)}</small><small>{who}</small>" if answer.reason else f"<small>{who}</small>"
    sure = f"declined{note}" if answer.stranger else f'<span class="much">{confidence(answer.probability)}</span>{note}'
    parts = bars(card, answer.probabilities, bool(answer.stranger)) if with_bars and not answer.digits else ""
    return (
        f'<div class="ink"><div class="ink-answer" data-testid="answer" role="status"><span class="ink-glyph{word}{unsure}">{html.escape(shown)}</span>'
        f'<span class="ink-sure">{sure}</span>{"" if answer.digits else seen(answer)}</div>'
        f"{_digits(card, answer) if answer.digits else parts}{_otherwise(card, answer) if parts else ''}</div>"
    )


def _otherwise(card: Card, answer: Answer) -> str:
    """What the network itself would have said of a picture that its gate declined: softmax has no way to say none of them."""
    if not answer.stranger:
        return ""
    guess = html.escape(card.labels[int(answer.probabilities.argmax())])
    return f'<p class="ink-note">Without a gate before it, {html.escape(card.title)} would have said {guess}, {confidence(answer.probability)}.</p>'


def _digits(card: Card, answer: Answer) -> str:
    """The digits of a number: what the network saw of each, and what it said."""
    cells = []
    for digit in answer.digits:
        shown, unsure = said(card, digit)
        cells.append(
            f'<div><img class="ink-thumb" src="{data_url(digit.prepared.pixels)}" alt="what the network sees"><b class="{unsure.strip()}">{html.escape(shown)}</b>'
            f"<span>{'declined' if digit.stranger else confidence(digit.probability)}</span></div>"
        )
    return f'<div class="ink-digits" data-testid="digits">{"".join(cells)}</div>'


def trio(cards: list[Card], answers: list[Answer | None], chosen: str) -> str:
    """Several networks' answers side by side; None of one that was not asked, for others wait."""
    cells = []
    for card, answer in zip(cards, answers, strict=True):
        shown, unsure = said(card, answer) if answer else ("…", " unsure")
        how = "others draw too" if answer is None else "declined" if answer.stranger else confidence(answer.probability)
        word = _size(shown)
        cells.append(
            f'<div class="ink-card{" chosen" if card.name == chosen else ""}" data-network="{card.name}"><h4>{html.escape(card.title)}</h4>'
            f'<div class="said{word}{unsure}">{html.escape(shown)}</div><div class="how">{how}</div></div>'
        )
    return f'<div class="ink"><div class="ink-trio" data-testid="trio">{"".join(cells)}</div></div>'


def said(card: Card, answer: Answer) -> tuple[str, str]:
    """What to show in large: the label, or its guess with a question mark and the class that greys it."""
    if answer.label is not None:
        return answer.label, ""
    if answer.stranger:
        return "?", " unsure"
    if answer.digits:
        return "".join(said(card, digit)[0] for digit in answer.digits), " unsure"
    guess = card.labels[int(answer.probabilities.argmax())]
    is_none = card.takes_photos and guess == NONE_OF_THEM  # a class of one's own may be called so
    return guess if is_none else f"{guess}?", " unsure"


def _size(shown: str) -> str:
    """The classes that make an answer's letters smaller: a word's, and those of the long name of an own class."""
    return " word long" if len(shown) > LONG else " word" if len(shown) > 2 else ""


def comparison(card: Card, rival: Card | None) -> str:
    """A new network's test accuracy beside that of the one it may replace."""
    count = card.facts["test"]["n"]
    digits = 2 if count >= 1000 else 1 if count >= 100 else 0  # what so many images can tell
    pairs = {"New network": percent(card.test_accuracy, digits)}
    note = f"On {count:,} test images." if count >= 100 else f"On {count:,} test images: so few tell little."
    if rival is not None:
        pairs[f"{html.escape(rival.title)} on the shelf"] = percent(rival.test_accuracy, digits)
        if count == rival.facts["test"]["n"]:
            pairs["Difference"] = f"{signed(card.test_accuracy - rival.test_accuracy, digits)} points"
        else:
            note = (
                f"The new one on {count:,} images of the bundled sample, the other on {rival.facts['test']['n']:,} test images: "
                "a hint, not a comparison."
            )
        if card.parameters != rival.parameters:
            note += f" The new one has {card.parameters:,} weights, the other {rival.parameters:,}."
    if card.facts["data"].get("learned_before"):
        note += " The network that it started or learned from had learned some of these images, which flatters it."
    return f'<div class="ink" data-testid="comparison">{pairs_table(pairs)}<p class="ink-note">{note}</p></div>'


def pairs_table(pairs: dict[str, str]) -> str:
    """Names and values in two columns. Values must be escaped where they come from outside."""
    rows = "".join(f"<div><span>{name}</span><b>{value}</b></div>" for name, value in pairs.items())
    return f'<div class="ink ink-figures">{rows}</div>'


def empty(title: str, text: str) -> str:
    """An empty state: what to do first."""
    return f'<div class="ink"><div class="ink-empty" data-testid="empty"><b>{html.escape(title)}</b>{html.escape(text)}</div></div>'


def no_network(about: DatasetInfo, may_retrain: bool) -> str:
    """The empty state of a data set that nothing was trained on yet. may_retrain: whether the visitor has the form for it."""
    first = "Retrain one in the sidebar: Start training is enough. " if may_retrain else ""
    return empty(f"No network for {about.title} yet", f"{first}The answers appear here.")


def note(text: str) -> str:
    """A quiet line of text."""
    return f'<div class="ink"><p class="ink-note">{html.escape(text)}</p></div>'


def error(title: str, text: str) -> str:
    """One clear sentence about one thing that went wrong."""
    return f'<div class="ink"><div class="ink-error" role="alert"><b>{html.escape(title)}</b>{html.escape(text)}</div></div>'


def heading(title: str, lead: str) -> str:
    """A page's title and one sentence under it."""
    return f'<div class="ink ink-head"><h1 class="ink-title">{html.escape(title)}</h1><p class="ink-lead">{html.escape(lead)}</p></div>'
