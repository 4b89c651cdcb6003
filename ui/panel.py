"""The part of the sidebar that shows the retrains: at work, waiting, and the news of those that ended.

It reads the runs folder, so it is the same after a refresh and in every browser.
"""

import functools
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from jobs import news, queue, runs, site
from jobs.config import ConfigError, RunConfig
from models import datasets, shelf
from models.errors import InklingError
from ui import figures, problems, serving, sidebar, visitor

LIVE, IDLE = 0.5, 5.0  # seconds between two looks of a page at the runs folder, of few pages
SHARE = 0.1  # seconds more for each page that is open: ten looks a second, at most twenty, however many there are
CLASS, SELDOM = 30, 60.0  # pages, beyond which each looks by itself so many seconds apart: what is drawn on them has them look
PANEL = "retrain-panel"  # the part that runs again by itself
GONE = 2.5 * SELDOM  # seconds after which a page that has not looked is closed
STALE = 0.4  # seconds that one look serves all visitors
MOST_SPECS = 256  # charts that are kept

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the runs folder says at one moment. begins: in how many seconds each place, and last one more, is expected to be at work.
    ended: runs that ended lately, the last one first, with their statuses. problem: why nothing can be said of them, else empty."""

    moment: float
    root: Path
    active: tuple[Path, ...]
    places: tuple[queue.Place, ...]
    begins: tuple[float, ...]
    ended: tuple[tuple[Path, runs.Status], ...]
    problem: str

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """Of what is at work, and of what waits; empty when there is neither."""
        names = tuple(run.name for run in self.active), tuple(place.run.name for place in self.places)
        return names if any(names) else ()


_last: Look | None = None
_numbers = itertools.count()
_pages: dict[int, float] = {}  # when each looked last
_counted = 0.0  # when those that are gone were looked for last


def look() -> Look:
    """The runs folder as it is, or was a moment ago: a hundred visitors look at it together, not each for themselves."""
    global _last
    with _lock:
        root = runs.runs_folder()
        if _last is None or _last.root != root or not 0 <= time.monotonic() - _last.moment < STALE:
            places, active = queue.waiting(), queue.active_runs()
            _last = Look(
                active=tuple(active),
                places=tuple(places),
                begins=tuple(queue.forecast(places)),
                ended=tuple(news.ended_lately([*active, *(place.run for place in places)])),
                problem=runs.unreadable(),
                root=root,
                moment=time.monotonic(),
            )
        return _last


def forget() -> None:
    """Has the next look be a fresh one, after something was changed here."""
    global _last
    with _lock:
        _last = None


def is_busy() -> bool:
    """Whether a retrain that is started now would have to wait."""
    return bool(look().names)


@functools.lru_cache(maxsize=64)  # more than a cluster has at work for long
def _status(folder: Path, moment: float) -> runs.Status:
    """Of a run at work, read once for all who look at that moment."""
    return runs.status(folder)


def show() -> None:
    """Shows it, and again by itself."""
    now = look()
    st.session_state["retrain-names"] = now.names
    st.session_state["retrain-pace"] = _pace(now)
    st.fragment(_panel, key=PANEL, run_every=st.session_state["retrain-pace"])()


def follow(run: Path) -> None:
    """Has this page look at a run often, however many others are open: it was started here."""
    st.session_state.setdefault("retrain-followed", set()).add(run.name)


def is_behind() -> bool:
    """Whether the page shows other retrains than there are, and it is its turn to look: a class does so one after the other."""
    own, names = _count_page(), look().names
    if st.session_state.get("retrain-names", names) == names:  # a page without this panel shows none
        st.session_state.pop("retrain-behind", None)
        return False
    since = st.session_state.setdefault("retrain-behind", time.monotonic())
    return time.monotonic() - since >= own % len(_pages) * SHARE


def _pace(now: Look) -> float:
    shared = pace(LIVE if now.names else IDLE)
    if st.session_state.get("retrain-followed", set()).intersection(itertools.chain(*now.names)):
        return LIVE
    return SELDOM if _is_class() else shared


def _is_class() -> bool:
    return len(_pages) > CLASS


def pace(few: float) -> float:
    """Seconds between two looks of this page, by how many are open: as `few` has it, or twice, four times ... that."""
    _count_page()
    return few * 2 ** max(0, math.ceil(math.log2(len(_pages) * SHARE / few)))


def _count_page() -> int:
    """The page's number; it counts as open from now on."""
    global _counted
    own, now = st.session_state.setdefault("retrain-page", next(_numbers)), time.monotonic()
    with _lock:
        _pages[own] = now
        if now - _counted > STALE:  # not after every stroke of a class
            _counted = now
            for page in [page for page, moment in _pages.items() if now - moment > GONE]:
                del _pages[page]
    return own


def _panel() -> None:
    now = look()
    wanted, own = _pace(now), st.session_state.get("retrain-pace", IDLE)
    # Form, picker and page change with what is at work. In a class they wait for the visitor's next click: 45 ms of the processor for each.
    is_other = now.names != st.session_state.get("retrain-names") and not _is_class()
    # A little slower is not worth running a hundred pages again.
    if st.session_state.pop("retrain-acted", False) or is_other or wanted < own or wanted > 2 * own:
        st.rerun()
    st.session_state["retrain-names"] = now.names
    if now.problem:
        st.html(figures.error("Retrains cannot be shown", now.problem))
    for run in now.active:
        _show_live(run)
    if now.places:
        _show_queue(now)
    followed = st.session_state.get("retrain-followed", set())
    dismissed = st.session_state.get("retrain-dismissed", set())
    for folder, status in now.ended:
        config = config_of(folder)
        if config is None or folder.name in dismissed or config.publish in ("", *shelf.SHIPPED):
            continue
        owner = runs.owner(folder)
        if (visitor.is_public() and owner != visitor.owner()) or (owner is None and status.state != "done"):
            continue  # somebody else's, or a command's, which has told its end where it was given
        if now.active and folder.name not in followed:  # what is at work is the news, but for who waits for this one
            continue
        card = _published(status)
        if card is not None or status.exported is None:  # of a network that was deleted since there is no news
            _show_news(folder, status, card)
            return


def title(config: RunConfig) -> tuple[str, str]:
    """What a configuration trains, and on what, for people: LeNet-5, digits."""
    network = shelf.TITLES["ensemble"] if config.members > 1 else shelf.TITLES[config.network]
    about = datasets.info(config.dataset)
    return network, about.title if about.is_own else f"{about.noun}s"


def _in_markdown(config: RunConfig) -> str:
    """The same where Markdown is read, which a title from outside may not be."""
    network, shown = title(config)
    return f"**{network}**, {figures.in_markdown(shown)}"


def may_act_on(run: Path) -> bool:
    """Whether the visitor may cancel, resume or delete a run."""
    try:
        visitor.demand_run(run)
    except InklingError:
        return False
    return True


def _show_queue(now: Look) -> None:
    """Who waits, in which place, and from when on each is expected to be at work."""
    count = len(now.places)
    with st.container(border=True, key="retrain-queue"):
        st.caption(f"{count} waiting" if count > 1 else "One waiting")
        for number, (place, begin) in enumerate(zip(now.places, now.begins, strict=False), 1):
            config = config_of(place.run)
            if config is None:
                continue
            whose = " (yours)" if visitor.is_public() and place.owner == visitor.owner() else ""
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{number}. {_in_markdown(config)}{whose}  \n{when(begin)}")
                if may_act_on(place.run) and not (place.run / runs.CANCEL).exists():
                    st.button("Take it out of the queue", icon=":material/close:", help="Take it out of the queue", key=f"retrain-leave-{place.run.name}", type="tertiary", on_click=cancel, args=(place.run,))  # fmt: skip
            problems.show(f"retrain-problem-{place.run.name}")


def when(seconds: float) -> str:
    """When a run is expected to be at work. What takes longer than expected has no seconds left."""
    if math.isinf(seconds):
        return "when the cluster has room"
    return f"in about {figures.duration(seconds)}" if seconds >= 1 else "any moment"


def cancel(run: Path) -> None:
    """Asks a run to stop. A callback."""
    with problems.telling(f"retrain-problem-{run.name}"):
        visitor.demand_run(run)
        runs.cancel(run)
        _act()


def config_of(folder: Path) -> RunConfig | None:
    """The configuration of a run; None when its data set was deleted since."""
    try:
        return runs.read_config(folder)
    except ConfigError:
        return None


def _published(status: runs.Status) -> shelf.Card | None:
    """The network that a run put on the shelf; None when it has none there."""
    if status.exported is None:
        return None
    try:
        return shelf.load_card(status.exported["dataset"], status.exported["name"])
    except InklingError:
        return None


def _show_live(folder: Path) -> None:
    try:
        status = _status(folder, look().moment)
    except OSError:  # deleted by hand a moment ago
        return
    config = config_of(folder)
    if config is None:
        st.html(figures.error("The data set was deleted", "The pictures of the run at work are gone; cancel it."))
        _show_cancel(folder)
        return
    done = f" · {figures.percent(status.progress, 0)}" if status.progress < 1 else ""
    left = f" · {figures.duration(status.seconds_left)} left" if done and (status.seconds_left or 0) >= 1 else ""
    st.progress(status.progress, text=f"{_in_markdown(config)}  \n{status.stage or 'finishing'}{done}{left}")
    if status.started and status.started["is_sample"]:
        st.caption(
            f"With the bundled sample of {status.started['train_images']:,} images: the full data set was not found. Expect less accuracy."
        )
    show_curves(status, config.epochs, folder.name)
    _show_cancel(folder)


def _show_cancel(folder: Path) -> None:
    if (folder / runs.CANCEL).exists():
        st.caption("Stopping…")
    elif may_act_on(folder):
        st.button("Cancel", icon=":material/stop:", key=f"retrain-cancel-{folder.name}", width="stretch", on_click=cancel, args=(folder,))
        problems.show(f"retrain-problem-{folder.name}")


def show_curves(status: runs.Status, total_epochs: int, key: str) -> None:
    """Loss and accuracy so far. key: tells the charts of several runs apart."""
    if len(status.steps) < 2:
        return
    from ui import charts

    st.vega_lite_chart(_drawn(key, charts.loss_curve, status.steps, status.epochs, total_epochs), key=f"retrain-loss-{key}", height=150, alt="loss over the epochs: training, and validation after each")  # fmt: skip
    st.caption("Blue: loss on training images. Orange: on validation images.")
    if max((event["epoch"] for event in status.epochs), default=0) > 1:
        st.vega_lite_chart(_drawn(key, charts.accuracy_curve, status.epochs, total_epochs), key=f"retrain-accuracy-{key}", height=150, alt="validation accuracy after each epoch")  # fmt: skip
    elif status.epochs:
        st.caption(f"Validation accuracy after one epoch: {figures.percent(status.val_accuracy, 2)}")


def _show_news(folder: Path, status: runs.Status, card: shelf.Card | None) -> None:
    """Every key names the run or its network: another one's news may take this place while somebody looks, and a click is meant for this."""
    with st.container(border=True):
        if status.state == "done" and card is not None:
            _show_new_network(status, card)
        elif status.state == "cancelled":
            st.markdown(f"**Cancelled.** {'Its network had been published by then.' if card else 'Nothing was published.'}")
        elif status.state == "crashed":
            st.html(figures.error("The retrain crashed", status.message))
        else:
            st.html(figures.error("The retrain failed", figures.sentence(status.message)))
        if status.state != "done" and may_act_on(folder):
            st.button("Resume", icon=":material/resume:", key=f"retrain-resume-{folder.name}", width="stretch", on_click=resume, args=(folder,), help="Goes on from the last whole epoch." if status.epochs else "Begins anew: no epoch was whole.")  # fmt: skip
            problems.show(f"retrain-problem-{folder.name}")
        if st.button("Dismiss", key=f"retrain-dismiss-{folder.name}", width="stretch"):
            st.session_state.setdefault("retrain-dismissed", set()).add(folder.name)
            if may_act_on(folder) and (
                visitor.is_public() or folder.name in st.session_state.get("retrain-followed", ()) or len(_pages) <= 1
            ):
                news.dismiss(folder)  # not where it may be the news of another who looks
                forget()
            st.rerun()


def resume(folder: Path) -> None:
    """Queues a run that stopped once more. A callback."""
    with problems.telling(f"retrain-problem-{folder.name}"):
        visitor.demand_run(folder)
        config = runs.read_config(folder)
        demand = functools.partial(visitor.demand_retrain, queue.expected_left(folder))
        demand()
        queue.resume(folder, serving.environment(config), site.read().queue, demand, visitor.granted())
        follow(folder)
        st.session_state.setdefault("retrain-dismissed", set()).discard(folder.name)
        st.session_state.pop(f"retrain-problem-{folder.name}", None)
        _act()


_specs: dict[tuple[str, str], tuple[tuple, dict[str, Any]]] = {}  # of each chart the last one, with what it was drawn from


def _drawn(key: str, chart: Callable[..., Any], *facts: Any) -> dict[str, Any]:
    """A chart as Vega-Lite reads it, drawn once for all who look at the same moment of a run: altair takes tens of milliseconds."""
    *told, total_epochs = facts
    place, moment = (key, chart.__name__), (total_epochs, *((len(each), each[-1] if each else None) for each in told))
    known, spec = _specs.get(place, (None, {}))
    if known != moment:
        spec = chart(*facts).to_dict()
    with _lock:
        _specs.pop(place, None)  # it goes to the end: what nobody has looked at for longest is forgotten first
        _specs[place] = moment, spec
        while len(_specs) > MOST_SPECS:
            del _specs[next(iter(_specs))]
    return spec


def _show_new_network(status: runs.Status, card: shelf.Card) -> None:
    dataset, name = card.dataset, card.name
    listed = {each.name: each for each in shelf.list_cards(dataset)}
    rivals = [each for each in listed.values() if each.is_shipped and each.facts["architecture"] == card.facts["architecture"]]
    rival = next((each for each in rivals if (each.facts["members"] > 1) == (card.facts["members"] > 1)), None) or next(iter(rivals), None)
    rival = listed.get(card.facts["config"]["start_from"], rival)
    about = datasets.info(dataset)
    shown = figures.in_markdown(about.title) if about.is_own else f"{about.noun}s"
    st.markdown(f"**{figures.in_markdown(card.title)}**, {shown}, is ready after {figures.duration(status.seconds)}.")
    st.html(figures.comparison(card, rival))
    show_curves(status, card.facts["config"]["epochs"], card.name)
    chosen = sidebar.chosen_card()
    if chosen is None or chosen.name != name or sidebar.chosen_dataset() != dataset:
        st.button("Use it", type="primary", key=f"retrain-use-{name}", width="stretch", on_click=_use, args=(dataset, name))
    if visitor.may_act():
        with st.popover("Delete it", width="stretch", key=f"retrain-delete-{name}"):
            st.write(f"Deletes {figures.in_markdown(card.title)} for everybody. What its retrain told stays on the page Retrains.")
            st.button("Delete for good", type="primary", key=f"retrain-delete-sure-{name}", on_click=_delete, args=(card,))
        problems.show("retrain-delete-problem")


def _use(dataset: str, name: str) -> None:
    sidebar.choose_dataset(dataset)
    sidebar.choose(dataset, name)
    _act()


def _delete(card: shelf.Card) -> None:
    with problems.telling("retrain-delete-problem"):
        visitor.demand("delete")
        shelf.remove(card)
        _act()


def _act() -> None:
    """These buttons stand in a fragment, which alone would run again after a click, and the picker would put its old value back."""
    st.session_state["retrain-acted"] = st.session_state["history-acted"] = True
    forget()
