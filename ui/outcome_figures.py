"""The Experiments page's figures as HTML: the table of the systems, verdicts with their reasons, the facts of a cell."""

import html
from collections.abc import Sequence

from jobs import tables
from jobs.recipes import RECIPES
from jobs.summary import GUESSING, OF_THE_ERROR, SPREADS, TOLERANCE, Outcome, changes_of_recipe, in_words, settings_that_matter
from models import datasets
from ui import figures

NO_REASON = "No reason found yet."
VERDICTS = {"reproduced": "reproduced", "differs": "did not reproduce", "missing": "not measured", "none": ""}
RULE = (
    f"A figure did not reproduce when our mean lies further from it than {TOLERANCE * 100:g} points, or {OF_THE_ERROR * 100:.0f} % of the source's error "
    f"where that is less, and than {SPREADS} of our standard deviations. Where both are at most {GUESSING * 100:.0f} %, both networks guess, and "
    "that counts as reproduced; a network that diverged guesses."
)


def systems_table(outcomes: Sequence[Outcome]) -> str:
    """R1 to R7: the source's figure, ours with its settings, and ours with better training of the same layers."""
    by_recipe = {outcome.recipe: outcome for outcome in outcomes}
    head = "".join(
        f"<th>{name}</th>" for name in ("System", "Source", "Ours, same settings", "Ours, improved", "Time", "Parameters", "Verdict")
    )
    rows = []
    for name in tables.SYSTEMS:
        ours, plus = by_recipe[name], by_recipe.get(tables.PLUS.get(name, ""))
        both = [ours, plus] if plus else [ours]
        times = ["–" if each.seconds is None else figures.duration(each.seconds) for each in both]
        counts = list(dict.fromkeys("–" if each.parameters is None else f"{each.parameters:,}" for each in both))
        number, _, kind = name.partition("-")
        reason = tables.note(ours.sweep, ours.row, ours.column)
        cells = {
            "System": f"<b>{number.upper()}</b> {html.escape(kind)}<small>{html.escape(RECIPES[name].about.partition(' (')[0])}; {datasets.DATASETS[RECIPES[name].config.dataset].noun}s</small>",
            "Source": "" if ours.reference is None else figures.percent(ours.reference, 2),
            "Ours, same settings": accuracy(ours),
            "Ours, improved": accuracy(plus) if plus else '<span class="quiet">–</span>',
            "Time": _and_below(times),
            "Parameters": _and_below(counts),
            "Verdict": _verdict(ours) + (f"<small>{html.escape(reason)}</small>" if reason else _no_reason(ours)),
        }
        rows.append("<tr>" + "".join(f'<td data-name="{title}">{cell}</td>' for title, cell in cells.items()) + "</tr>")
    return f'<div class="ink"><table class="ink-table" data-testid="systems"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _and_below(texts: Sequence[str]) -> str:
    """The first, and what is said of the improved system in small under it."""
    return texts[0] + "".join(f"<small>{text}</small>" for text in texts[1:])


def accuracy(outcome: Outcome) -> str:
    """Mean, spread and n; 'diverged'; or 'not measured'."""
    figure, rest = outcome.told
    kind = {"missing": "quiet", "diverged": "warn", "measured": ""}[outcome.state]
    tag = "span" if outcome.state == "missing" else "b"
    return f'<{tag} class="{kind}">{figure}</{tag}>' + (f"<small>{rest}</small>" if rest else "")


def _verdict(outcome: Outcome) -> str:
    return f'<span class="ink-verdict {outcome.verdict}">{VERDICTS[outcome.verdict]}</span>' if VERDICTS[outcome.verdict] else ""


def _no_reason(outcome: Outcome) -> str:
    return f"<small>{NO_REASON}</small>" if outcome.verdict == "differs" else ""


def misses(outcomes: Sequence[Outcome]) -> str:
    """Every cell that did not reproduce, under the reason found; '' when there is none."""
    by_reason: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.verdict == "differs":
            ours = "diverged" if outcome.mean is None else f"{outcome.mean * 100:.2f}"
            gap = "" if outcome.difference is None else f" ({figures.signed(outcome.difference)})"
            reason = tables.note(outcome.sweep, outcome.row, outcome.column) or NO_REASON
            line = f"<li><b>{html.escape(outcome.title)}</b>: the source {outcome.reference * 100:.2f}, ours {ours}{gap}</li>"
            by_reason.setdefault(reason, []).append(line)
    lists = [
        f'<p class="ink-note">{html.escape(reason)}</p><ul class="ink-misses">{"".join(lines)}</ul>' for reason, lines in by_reason.items()
    ]
    return f'<div class="ink" data-testid="misses">{"".join(lists)}</div>' if lists else ""


def cell(outcome: Outcome, colour: str) -> str:
    """What a chosen cell is, and how it did. colour: of its curves."""
    changed = changes_of_recipe(outcome)
    rest = {name: value for name, value in settings_that_matter(outcome.config).items() if name not in changed}
    differs = outcome.verdict == "differs"
    reason = tables.note(outcome.sweep, outcome.row, outcome.column) if differs or outcome.sweep == "systems" else ""
    ours = {
        "Ours": accuracy(outcome).replace("<small>", " <small>"),
        "Source": "no figure" if outcome.reference is None else figures.percent(outcome.reference, 2),
    }
    if outcome.difference is not None:
        ours["Difference"] = f"{figures.signed(outcome.difference)} points"
    if outcome.seconds is not None:
        ours["Time a run"] = figures.duration(outcome.seconds)
    note = reason or (NO_REASON if differs else "")
    error = f'<p class="ink-note warn">{html.escape(outcome.errors[0])}</p>' if outcome.errors else ""
    own = f"<b>{html.escape(in_words(changed))}</b><br>" if changed else ""
    return (
        f'<div class="ink ink-cell" data-testid="cell"><h4><i style="background:{colour}"></i>{html.escape(outcome.title)} {_verdict(outcome)}</h4>'
        f"{figures.pairs_table(ours)}{error}"
        f'<p class="ink-note">{own}{html.escape(in_words(rest))}</p>{f"""<p class="ink-note">{html.escape(note)}</p>""" if note else ""}</div>'
    )


def legend(titles: Sequence[str], colours: Sequence[str]) -> str:
    """The names of the curves, one a chosen cell."""
    chips = "".join(
        f'<span><i style="background:{colour}"></i>{html.escape(title)}</span>' for title, colour in zip(titles, colours, strict=False)
    )
    return f'<div class="ink"><div class="ink-legend" data-testid="legend">{chips}</div></div>'


def progress(outcomes: Sequence[Outcome]) -> str:
    """How much of a table is measured, and the command for the rest; '' for a whole table."""
    measured = sum(outcome.state != "missing" for outcome in outcomes)
    runs, wanted = sum(min(len(each.runs), each.wanted) for each in outcomes), sum(each.wanted for each in outcomes)
    if runs >= wanted:
        return ""
    figured = f"{measured} of {len(outcomes)} cells" if measured < len(outcomes) else "All cells"
    runs_text = f", {runs} of {wanted} runs" if wanted > len(outcomes) else ""
    return (
        f'<div class="ink"><p class="ink-missing" data-testid="missing">{figured} measured{runs_text}. '
        f"To measure the rest: <code>python -m training sweep {outcomes[0].sweep}</code></p></div>"
    )


def given(title: str, changed: Sequence[str], also: str) -> str:
    """The banner of the retrain form: whose settings it has, what was changed since, and those that the form does not show."""
    since = f"<small>Changed since: {html.escape(', '.join(changed))}.</small>" if changed else ""
    rest = f"<small>Also set: {html.escape(also)}.</small>" if also else ""
    return f'<div class="ink"><div class="ink-given" data-testid="given">Settings of <b>{html.escape(title)}</b>{since}{rest}</div></div>'
