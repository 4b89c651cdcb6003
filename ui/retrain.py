"""Retraining: the form in the sidebar, and how a run begins. What is at work is shown by panel.py."""

import dataclasses
import functools
import math
import secrets
import time
from collections.abc import Mapping

import streamlit as st

from jobs import costs, queue, runs, site, summary
from jobs.config import LAYERS, ConfigError, RunConfig, field_of, misfit
from jobs.recipes import LAYERS_KEPT, continued
from models import datasets, shelf
from models.datasets import DatasetInfo
from models.errors import InklingError
from ui import figures, outcome_figures, panel, serving, settings, visitor

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
    "rotate_shift": "Turn, shift far",
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
WITHOUT_MOMENTUM = {"sgd": "SGD without momentum", "nag": "Nesterov SGD without momentum"}
LRS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
LR_FROM_SCRATCH, LR_GOING_ON, LR_BY_HAND = 0.004, 0.0005, 0.02
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
LR_HELP = {
    "constant": "It stays the same for the whole run.",
    "step": "The first one: it is cut every so many iterations.",
    "cosine": "The first one: it falls to zero.",
    "one_cycle": "The highest one: it warms up to it and falls to zero. A trained network wants a lower one than a new one.",
    "two_stage": "The two-stage schedule sets learning rate and batch size itself.",
}
GIVEN_START = "given"  # from the network that the given settings name
GOES_ON = ("start_from", "corrections")  # settings of a run that goes on from a network
OWN_STEPS = 600  # of the optimizer, about what a new network needs to learn a small data set


def show(dataset: str, chosen: shelf.Card | None) -> None:
    """The retraining part of the sidebar."""
    st.subheader("Retrain", anchor=False)
    panel.show()
    if visitor.may_act():
        _form(dataset, chosen)
    elif settings.given():
        after = (
            " Signing in leads to the first page: open the link again after it." if visitor.has_provider() and not visitor.address() else ""
        )
        st.caption(f"{settings.given().title}: only those who may retrain here can train with these settings.{after}")
    visitor.show()


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
        may_go_on = chosen is not None and not chosen.is_mixed
        starts = _starts(given, may_go_on)
        start = st.segmented_control(
            "Start from",
            list(starts),
            default=next(iter(starts)),
            required=True,
            format_func=starts.get,
            width="stretch",
            key=settings.key("start" if may_go_on else "start-anew"),  # another one: the first would go on saying "Chosen"
            disabled=not may_go_on and GIVEN_START not in starts,
            help=f"{figures.in_markdown(chosen.title)} is of several kinds of networks, which no run goes on from; choose another one above."
            if chosen and chosen.is_mixed
            else None,
        )
        from_chosen = start == "chosen" and may_go_on
        if from_chosen:
            st.caption(_goes_on_from(chosen))
            architecture = None
        elif start == GIVEN_START:
            st.caption(f"Trains {given.config.start_from} further, as given.")
            architecture = settings.GIVEN
        else:
            titles = TITLES | {"ensemble": f"Ensemble of three {'LeNet-like' if about.is_own else 'LeNet-5'}"}
            if given:
                title = shelf.TITLES[given.config.network]
                titles[settings.GIVEN] = f"{title}, given" if title in titles.values() else title
            names = [*([settings.GIVEN] if given else []), *architectures]
            architecture = st.selectbox("Architecture", names, format_func=titles.get, key=settings.key(f"architecture{own}"))
        by_hand = from_chosen and chosen.facts["config"]["network"] == "softmax"  # whose gradient is that of plain SGD
        first_lr = LR_BY_HAND if by_hand else LR_GOING_ON if from_chosen else LR_FROM_SCRATCH
        defaults = (
            given.config
            if given
            else RunConfig(lr=first_lr, batch_size=usual_batch_size, epochs=usual_epochs, augmentation="affine" if about.is_own else "none")
        )
        sets_itself = defaults.schedule == "two_stage"  # learning rate and batch size
        optimizer = st.selectbox(
            "Optimizer",
            ["sgd"] if by_hand else list(OPTIMIZERS),
            index=0 if by_hand else list(OPTIMIZERS).index(defaults.optimizer),
            format_func=(OPTIMIZERS | WITHOUT_MOMENTUM if by_hand or not defaults.momentum else OPTIMIZERS).get,
            key=settings.key("optimizer-by-hand" if by_hand else "optimizer"),
        )
        lr = st.select_slider(
            "Learning rate",
            settings.with_option(LRS, defaults.lr),
            value=defaults.lr,
            key=settings.key("lr-by-hand" if by_hand else f"lr-{start}"),
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
        epochs = st.number_input(  # without bounds, past which the browser would keep what was typed and send what stood there before
            "Epochs",
            value=defaults.epochs,
            key=settings.key(f"epochs{own}"),
            help=f"Passes over the training images, at most {field_of('epochs').metadata['high']:,}.",
        )
        augmentation = st.selectbox(
            "Augmentation",
            list(AUGMENTATIONS),
            index=list(AUGMENTATIONS).index(defaults.augmentation),
            format_func=AUGMENTATIONS.get,
            key=settings.key(f"augmentation{own}"),
        )
    asked = given.config.to_dict() if given else {}
    if start != GIVEN_START:
        asked = {name: value for name, value in asked.items() if name not in GOES_ON}
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
    if by_hand:
        asked["momentum"] = 0.0
    config, problem = _checked(asked)
    settings.ask(config if given or not _is_default(asked, about) else None)
    if given:
        with banner:
            _show_given(given, config)
    if config is None:
        st.html(figures.error("This cannot be trained", problem))
    if st.button(
        _what_happens(config), type="primary", icon=":material/play_arrow:", key="retrain-go", width="stretch", disabled=config is None
    ):
        try:
            kind = "ensemble" if config.members > 1 else config.network
            kind = chosen.facts["architecture"] if from_chosen else kind
            begin(config, kind)
        except (InklingError, OSError, KeyError) as error:
            st.html(figures.error("The retrain did not start", str(error)))
    if config is not None:
        st.caption(_what_it_takes(config))


def _starts(given: settings.Given | None, may_go_on: bool) -> dict[str, str]:
    """What a run can start from, and how it is called; first what the form begins with."""
    if given and given.config.start_from:
        return {GIVEN_START: "Given", "scratch": "Scratch"} | ({"chosen": "Chosen"} if may_go_on else {})
    return {"scratch": "Scratch", "chosen": "Chosen"}


@st.cache_data(ttl="1m", max_entries=4, show_spinner=False)
def _speed(runs_folder: str, on_gpu: bool) -> float:
    """How quick this machine is, looked up once a minute and not on every run of the page."""
    return costs.speed(on_gpu)


def _seconds(config: RunConfig) -> float:
    return costs.seconds(config, _speed(str(runs.runs_folder()), queue.is_for_gpu(config)))


def _what_happens(config: RunConfig | None) -> str:
    """The button's words: whether a click starts a training or queues it."""
    return "Queue training" if config is not None and panel.is_busy() else "Start training"


def _what_it_takes(config: RunConfig) -> str:
    """How long it is expected to take, and what stands before it."""
    now = panel.look()
    count = len(now.active) + len(now.places)
    before = f" It begins {panel.when(now.begins[-1])}, after {count} other{'s' if count > 1 else ''}." if count else ""
    what = f"{figures.in_markdown(panel.title(config)[0])}, {'trained further' if config.start_from else 'from scratch'}"
    takes = figures.duration(_seconds(config))
    return f"{what}: takes about {takes}.{before}"


def begin(config: RunConfig, kind: str) -> None:
    """Queues a run that publishes its network as KIND-TIME, and draws the page anew.

    Raises ConfigError, queue.Full, NotAllowed, StoreError, OSError.
    """
    own = f"{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(3)}"  # a class that starts at one second gets a network each
    here = site.read()
    threads = max(1, min(int(here.ray_cpus), field_of("threads").metadata["high"])) if here.ray_address else runs.page_friendly_threads()
    config = dataclasses.replace(config, threads=threads, publish=f"{kind}-{own}")
    demand = functools.partial(visitor.demand_retrain, _seconds(config))
    demand()
    panel.follow(queue.start(config, serving.environment(config), visitor.owner(), here.queue, demand, visitor.granted()))
    panel.forget()
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


def _show_given(given: settings.Given, config: RunConfig | None) -> None:
    """Whose settings the form has, those that it does not show, and the way back."""
    also = summary.settings_that_matter(config or given.config)
    also = summary.in_words({name: value for name, value in also.items() if name not in settings.SHOWN})
    st.html(outcome_figures.given(given.title, settings.changed_since(config) if config else [], also))
    st.button("Back to defaults", icon=":material/undo:", key="retrain-back", width="stretch", on_click=settings.take_back)


def _goes_on_from(card: shelf.Card) -> str:
    """One line on what will be trained further."""
    members, kind = card.facts["members"], card.facts["architecture"]
    inside = f", all {members} networks in it" if members > 1 else ""
    slow = " Slow without a GPU." if kind == "cnn" else ""
    return f"Trains {figures.in_markdown(card.title)} further{inside}: a new one beside it.{slow}"
