"""Retraining: the form in the sidebar, and the live panel of the run that is at work.

The panel reads the run's folder, so it is the same after a refresh and in every browser.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from jobs import runs, summary
from jobs.config import LAYERS, ConfigError, RunConfig, field_of, misfit
from jobs.recipes import LAYERS_KEPT, continued
from models import datasets, shelf
from models.datasets import DatasetInfo
from models.errors import InklingError
from ui import figures, outcome_figures, settings, sidebar

ARCHITECTURES = {
    "lenet5": {"network": "lenet5"},
    "fc": {"network": "fc"},
    "cnn": {"network": "cnn", **LAYERS["cnn"], "batch_norm": False},
    "ensemble": {"network": "lenet5", "members": 3},
}
OWN_ARCHITECTURES = {
    "lenet": {"network": "lenet", **LAYERS["lenet"]},
    "resnet": {"network": "resnet", **LAYERS["resnet"]},
    "fc": {"network": "fc"},
    "ensemble": {"network": "lenet", "members": 3, **LAYERS["lenet"]},
}
TITLES = {
    "lenet5": "LeNet-5",
    "fc": "Fully connected",
    "cnn": "CNN of 3x3 convolutions (slow without a GPU)",
    "lenet": "LeNet-like (quick)",
    "resnet": "Small ResNet (better on photos, slower)",
}
AUGMENTATIONS = {
    "none": "None",
    "shift": "Shift by 2 pixels",
    "affine": "Shift, turn, scale",
    "elastic": "Shift, turn, bend",
    "flip": "Mirror",
    "mirror": "Mirror and shift",
    "mirror_erase": "Mirror, shift, erase a patch",
}
OPTIMIZERS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD with momentum",
    "nag": "Nesterov SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
}
LRS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
LR_FROM_SCRATCH, LR_GOING_ON = 0.004, 0.0005
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
LR_HELP = {
    "constant": "It stays the same for the whole run.",
    "step": "The first one: it is cut every so many iterations.",
    "cosine": "The first one: it falls to zero.",
    "one_cycle": "The highest one: it warms up to it and falls to zero. A trained network wants a lower one than a new one.",
    "two_stage": "The two-stage schedule sets learning rate and batch size itself.",
}
OWN_STEPS = 600  # of the optimizer, about what a new network needs to learn a small data set
NEWS_LASTS = 15 * 60  # seconds that the panel goes on showing a run after its end
LIVE, IDLE = 0.5, 3.0  # seconds between two looks at the runs folder


def show(dataset: str, chosen: shelf.Card | None) -> None:
    """The retraining part of the sidebar."""
    st.subheader("Retrain", anchor=False)
    active = runs.active_run() is not None
    st.session_state["retrain-was-active"] = active
    st.fragment(_panel, run_every=LIVE if active else IDLE)()
    if not active:
        _form(dataset, chosen)
    elif settings.given():
        st.caption(f"{settings.given().title}: these settings wait for the form, which is back when the run has ended.")


def _architectures(about: DatasetInfo) -> dict[str, dict]:
    """What can be trained on a data set's pictures; what suits it best comes first."""
    offered = OWN_ARCHITECTURES if about.is_own else ARCHITECTURES
    return {name: settings for name, settings in offered.items() if not misfit(settings["network"], about)}


def _usual_pace(about: DatasetInfo) -> tuple[int, int]:
    """Batch size and epochs to begin with: one epoch of a large data set, many of a small one."""
    if not about.is_own:
        return 128, 1
    batch_size = max(each for each in BATCH_SIZES[:4] if each == BATCH_SIZES[0] or each * 40 <= about.train_images)
    return batch_size, min(60, max(1, math.ceil(OWN_STEPS / max(1, about.train_images // batch_size))))


def _form(dataset: str, chosen: shelf.Card | None) -> None:
    about, given = datasets.info(dataset), settings.given()
    architectures, (usual_batch_size, usual_epochs) = _architectures(about), _usual_pace(about)
    own = f"-{dataset}" if about.is_own else ""  # own data sets have first values of their own
    banner = st.container()
    with st.expander("Settings", expanded=given is not None, icon=":material/tune:"):
        start = st.segmented_control(
            "Start from",
            ["scratch", "chosen"],
            default="scratch",
            required=True,
            format_func={"scratch": "Scratch", "chosen": "Chosen"}.get,
            width="stretch",
            key=settings.key("start"),
            disabled=chosen is None,
        )
        from_chosen = start == "chosen" and chosen is not None
        if from_chosen:
            st.caption(_goes_on_from(chosen))
            architecture = None
        else:
            titles = TITLES | {"ensemble": f"Ensemble of three {'LeNet-like' if about.is_own else 'LeNet-5'}"}
            if given:
                title = shelf.TITLES[given.config.network]
                titles[settings.GIVEN] = f"{title}, given" if title in titles.values() else title
            names = [*([settings.GIVEN] if given else []), *architectures]
            architecture = st.selectbox("Architecture", names, format_func=titles.get, key=settings.key(f"architecture{own}"))
        first_lr = LR_GOING_ON if from_chosen else LR_FROM_SCRATCH
        defaults = given.config if given else RunConfig(lr=first_lr, batch_size=usual_batch_size, epochs=usual_epochs)
        sets_itself = defaults.schedule == "two_stage"  # learning rate and batch size
        optimizer = st.selectbox(
            "Optimizer",
            list(OPTIMIZERS),
            index=list(OPTIMIZERS).index(defaults.optimizer),
            format_func=_optimizer_titles(defaults).get,
            key=settings.key("optimizer"),
        )
        lr = st.select_slider(
            "Learning rate",
            settings.with_option(LRS, defaults.lr),
            value=defaults.lr,
            key=settings.key(f"lr-{start}"),
            help=LR_HELP[defaults.schedule],
            disabled=sets_itself,
        )
        batch_size = st.select_slider(
            "Batch size",
            settings.with_option(BATCH_SIZES, defaults.batch_size),
            value=defaults.batch_size,
            key=settings.key(f"batch-size{own}"),
            disabled=sets_itself,
        )
        epochs = st.number_input(
            "Epochs",
            1,
            int(field_of("epochs").metadata["high"]),
            value=defaults.epochs,
            key=settings.key(f"epochs{own}"),
            help=f"Passes over the training images, at most {field_of('epochs').metadata['high']:,}.",
        )
        augmentation = st.selectbox(
            "Augmentation",
            list(AUGMENTATIONS),
            index=list(AUGMENTATIONS).index(defaults.augmentation),
            format_func=AUGMENTATIONS.get,
            key=settings.key("augmentation"),
        )
    asked = given.config.to_dict() if given else {}
    if architecture != settings.GIVEN:
        asked = {name: value for name, value in asked.items() if name not in LAYERS_KEPT}
        asked |= continued(chosen) if from_chosen else architectures[architecture]
    asked |= {
        "dataset": dataset,
        "optimizer": optimizer,
        "lr": lr,
        "batch_size": batch_size,
        "epochs": int(epochs),
        "augmentation": augmentation,
    }
    config, problem = _checked(asked)
    settings.ask(config if given or not _is_default(asked, about) else None)
    if given:
        with banner:
            _show_given(given, config)
    if st.button("Start training", type="primary", icon=":material/play_arrow:", key="retrain-go", width="stretch"):
        try:
            if config is None:
                raise ConfigError(problem)
            kind = "ensemble" if config.members > 1 else config.network
            kind = chosen.facts["architecture"] if from_chosen else kind
            begin(config, kind)
        except (ConfigError, runs.Busy, OSError, KeyError) as error:
            st.html(figures.error("The retrain did not start", str(error)))


def begin(config: RunConfig, kind: str, environment: Mapping[str, str] | None = None) -> None:
    """Starts a run that publishes its network as KIND-TIME, and draws the page anew. Raises ConfigError, Busy, OSError."""
    name = f"{kind}-{time.strftime('%y%m%d-%H%M%S')}"
    runs.start(dataclasses.replace(config, threads=runs.page_friendly_threads(), publish=name), environment)
    st.session_state.pop("retrain-dismissed", None)
    st.rerun()


def _checked(asked: Mapping[str, object]) -> tuple[RunConfig | None, str]:
    """The configuration, or None and what does not go together in it."""
    try:
        return RunConfig(**asked), ""
    except ConfigError as error:
        return None, str(error)


def _is_default(asked: Mapping[str, object], about: DatasetInfo) -> bool:
    """Whether the form is as a visitor first finds it, whatever the data set; a link cannot say what a run starts from, nor
    does it lead anywhere on a machine without the own data set."""
    untouched = RunConfig(lr=LR_FROM_SCRATCH).to_dict()
    return about.is_own or "start_from" in asked or all(untouched[name] == value for name, value in asked.items() if name != "dataset")


def _optimizer_titles(config: RunConfig) -> dict[str, str]:
    return OPTIMIZERS if config.momentum else OPTIMIZERS | {"sgd": "SGD without momentum", "nag": "Nesterov SGD without momentum"}


def _show_given(given: settings.Given, config: RunConfig | None) -> None:
    """Whose settings the form has, those that it does not show, and the way back."""
    also = summary.settings_that_matter(config or given.config)
    also = summary.in_words({name: value for name, value in also.items() if name not in settings.SHOWN})
    st.html(outcome_figures.given(given.title, settings.changed_since(config) if config else [], also))
    st.button("Back to defaults", icon=":material/undo:", key="retrain-back", width="stretch", on_click=settings.take_back)


def _goes_on_from(card: shelf.Card) -> str:
    """One line on what will be trained further."""
    members, kind = card.facts["members"], shelf.TITLES[card.facts["architecture"]]
    inside = f", all {members} networks in it" if members > 1 else ""
    slow = " Slow without a GPU." if kind == shelf.TITLES["cnn"] else ""
    return f"Trains {card.title} further{inside}: a new one beside it.{slow}"


def _panel() -> None:
    """The run at work, or the news of the last one; runs again by itself."""
    active = runs.active_run()
    acted = st.session_state.pop("retrain-acted", False)
    if acted or (active is not None) != st.session_state.get("retrain-was-active"):
        st.rerun()  # the form, the picker, the page and the pace of this panel change with it
    if active is not None:
        _show_live(active)
        return
    last = next(iter(runs.list_runs()), None)
    config = _config(last) if last is not None else None
    if config is not None and st.session_state.get("retrain-dismissed") != last.name:
        status = runs.status(last)
        if config.publish not in shelf.SHIPPED and status.ended_at and time.time() - status.ended_at < NEWS_LASTS:
            card = _published(status)
            if card is not None or status.exported is None:  # of a network that was deleted since there is no news
                _show_news(last, status, card)


def _config(folder: Path) -> RunConfig | None:
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
    status = runs.status(folder)
    config = _config(folder)
    if config is None:
        st.html(figures.error("The data set was deleted", "The pictures of the run at work are gone; cancel it."))
        _show_cancel(folder)
        return
    about = datasets.info(config.dataset)
    percent_done = round(status.progress * 100)
    left = "" if status.seconds_left is None or status.progress >= 1 else f" · {figures.duration(status.seconds_left)} left"
    title = shelf.TITLES["ensemble"] if config.members > 1 else shelf.TITLES[config.network]
    st.progress(
        status.progress,
        text=f"**{title}**, {_plain(about.title) if about.is_own else f'{about.noun}s'}  \n{status.stage or 'finishing'} · {percent_done} %{left}",
    )
    if status.started and status.started["is_sample"]:
        st.caption(
            f"With the bundled sample of {status.started['train_images']:,} images: the full data set was not found. Expect less accuracy."
        )
    _show_curves(status, config.epochs)
    _show_cancel(folder)


def _show_cancel(folder: Path) -> None:
    if (folder / runs.CANCEL).exists():
        st.caption("Stopping…")
    elif st.button("Cancel", icon=":material/stop:", key="retrain-cancel", width="stretch"):
        runs.cancel(folder)


def _plain(title: str) -> str:
    """A title from outside in a text that is read as Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", title)


def _show_curves(status: runs.Status, total_epochs: int) -> None:
    if len(status.steps) < 2:
        return
    from ui import charts

    st.altair_chart(charts.loss_curve(status.steps, status.epochs, total_epochs), key="retrain-loss", height=150)
    st.caption("Blue: loss on training images. Orange: on validation images.")
    if max((event["epoch"] for event in status.epochs), default=0) > 1:
        st.altair_chart(charts.accuracy_curve(status.epochs, total_epochs), key="retrain-accuracy", height=150)
    elif status.epochs:
        st.caption(f"Validation accuracy after one epoch: {figures.percent(status.epochs[-1]['val_accuracy'])}")


def _show_news(folder: Path, status: runs.Status, card: shelf.Card | None) -> None:
    with st.container(border=True):
        if status.state == "done" and card is not None:
            _show_new_network(status, card)
        elif status.state == "cancelled":
            st.markdown("**Cancelled.** Nothing was published.")
        else:
            st.html(figures.error("The retrain failed", status.message))
        if st.button("Dismiss", key="retrain-dismiss", width="stretch"):
            st.session_state["retrain-dismissed"] = folder.name
            st.rerun()


def _show_new_network(status: runs.Status, card: shelf.Card) -> None:
    dataset, name = card.dataset, card.name
    listed = {each.name: each for each in shelf.list_cards(dataset)}
    rivals = [each for each in listed.values() if each.is_shipped and each.facts["architecture"] == card.facts["architecture"]]
    rival = next((each for each in rivals if (each.facts["members"] > 1) == (card.facts["members"] > 1)), None) or next(iter(rivals), None)
    rival = listed.get(card.facts["config"]["start_from"], rival)
    st.markdown(f"**{card.title}** is ready after {figures.duration(status.seconds)}.")
    st.html(figures.comparison(card, rival))
    _show_curves(status, card.facts["config"]["epochs"])
    chosen = sidebar.chosen_card()
    if chosen is None or chosen.name != name or sidebar.chosen_dataset() != dataset:
        st.button("Use it", type="primary", key="retrain-use", width="stretch", on_click=_use, args=(dataset, name))
    st.button("Delete it", key="retrain-delete", width="stretch", on_click=_delete, args=(card,))


def _use(dataset: str, name: str) -> None:
    sidebar.choose_dataset(dataset)
    sidebar.choose(dataset, name)
    _act()


def _delete(card: shelf.Card) -> None:
    shelf.remove(card)
    _act()


def _act() -> None:
    """These buttons stand in a fragment, which alone would run again after a click, and the picker would put its old value back."""
    st.session_state["retrain-acted"] = True
