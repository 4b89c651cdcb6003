"""The Retrains page: what was trained here, how it went, and going on with what stopped."""

import html
import threading
import time
from pathlib import Path

import streamlit as st

from jobs import artefacts, cluster, runs, summary
from jobs.config import RunConfig
from ui import figures, panel, problems, settings, visitor

FEW, MORE = 12, 24  # runs shown at first, and more on each click
EVERY = 1.0  # seconds between two looks while something is at work
STATES = {
    "queued": "waiting",
    "starting": "beginning",
    "running": "at work",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "crashed": "crashed",
}


def page() -> None:
    """Shows the page."""
    st.html(
        figures.heading(
            "Retrains", "What was trained on this machine from here, the newest first. What stopped can go on from its last whole epoch."
        )
    )
    st.fragment(_list, run_every=panel.pace(EVERY) if panel.look().names else None)()


def _list() -> None:
    """Runs again by itself while something is at work."""
    if st.session_state.pop("history-acted", False):
        st.rerun()  # the sidebar changes with it
    problems.show("history-problem")
    if problem := runs.unreadable():
        st.html(figures.error("Retrains cannot be shown", problem))
        return
    is_public, may_act, own = visitor.is_public(), visitor.may_act(), visitor.owner()  # asked once, not once a run
    owners = {run: runs.owner(run) for run in runs.list_runs()}
    found = [run for run, owner in owners.items() if owner is not None and (not is_public or (may_act and owner == own))]
    if not found and not may_act:
        st.html(
            figures.empty(
                "Nothing to see", "Everybody sees their own retrains here, and retraining is for those who signed in and are on the list."
            )
        )
        return
    if not found:
        st.html(figures.empty("None yet", "Start one in the sidebar: its course and its outcome stay here."))
        return
    count = st.session_state.get("history-shown", FEW)
    for run in found[:count]:
        if (config := panel.config_of(run)) is not None:
            _show(run, config)
        else:
            _show_orphan(run)
    if count < len(found):
        st.button(f"Show more of {len(found):,}", key="history-more", on_click=_show_more)


def _show(run: Path, config: RunConfig) -> None:
    try:
        status = runs.status(run)
    except OSError:  # somebody has just deleted it
        return
    with st.container(border=True, key=f"history-{run.name}"):
        st.html(_line(run, config, status))
        with st.container(horizontal=True):
            if len(status.steps) > 1 and status.epochs:
                _show_curves(run, config, status)
            st.button(
                "Retrain with these settings", icon=":material/tune:", key=f"history-again-{run.name}", on_click=_again, args=(run, config)
            )
            if panel.may_act_on(run):
                _show_rights(run, status)
        problems.show(f"retrain-problem-{run.name}")


def _show_curves(run: Path, config: RunConfig, status: runs.Status) -> None:
    """Draws them only while somebody looks: two charts a run would be most of what the page takes."""
    popover = st.popover("Curves", icon=":material/show_chart:", key=f"history-curves-{run.name}", on_change="rerun")
    if popover.open:
        with popover:
            panel.show_curves(status, config.epochs, f"history-{run.name}")


def _show_rights(run: Path, status: runs.Status) -> None:
    """What its owner may do with it."""
    if status.is_active:
        st.button("Cancel", icon=":material/stop:", key=f"history-cancel-{run.name}", on_click=panel.cancel, args=(run,))
        return
    if status.state != "done":
        st.button("Resume", icon=":material/resume:", key=f"history-resume-{run.name}", on_click=panel.resume, args=(run,))
    _delete_button(run)


def _show_orphan(run: Path) -> None:
    """A run whose data set was deleted, or whose settings are of another version: it can be deleted, nothing else."""
    with st.container(border=True, key=f"history-{run.name}"):
        st.html(
            f'<div class="ink" data-testid="retrain"><h3 style="padding:0;margin:0;font-size:1.15rem">{html.escape(run.name[16:])}</h3>'
            f'<p class="ink-lead">{_when(run)} · its pictures are not here any more, or it is of another version of Inkling</p></div>'
        )
        if panel.may_act_on(run) and not runs.is_alive(run):
            _delete_button(run)


def _delete_button(run: Path) -> None:
    st.button(
        "Delete",
        icon=":material/delete:",
        key=f"history-delete-{run.name}",
        type="tertiary",
        on_click=_delete,
        args=(run,),
        help="Deletes its record and checkpoints; a network that it published stays.",
    )


def _line(run: Path, config: RunConfig, status: runs.Status) -> str:
    """What it trained, when, how it ended and what came out."""
    words = summary.in_words(
        {name: value for name, value in summary.settings_that_matter(config).items() if name not in ("dataset", "network")}
    )
    facts, told = [], status.exported or {}  # not what stands under its name by now
    if "test_accuracy" in told:
        facts.append(f"test accuracy {figures.percent(told['test_accuracy'], 2)}")
    val_accuracy = told.get("val_accuracy", status.val_accuracy)
    if val_accuracy is not None:
        facts.append(f"validation accuracy {figures.percent(val_accuracy, 2)}")
    if status.started and not status.is_active:
        facts.append(figures.duration(status.seconds))
    if status.is_active and status.progress:
        facts.append(f"{status.progress:.0%}")
    message = f'<p class="ink-note">{html.escape(figures.sentence(status.message))}</p>' if status.message else ""
    mood = {"done": " reproduced", "failed": " differs", "crashed": " differs"}.get(status.state, "")
    return (
        f'<div class="ink" data-testid="retrain"><h3 style="padding:0;margin:0;font-size:1.15rem">{html.escape(", ".join(panel.title(config)))} '
        f'<span class="ink-verdict{mood}">{STATES[status.state]}</span></h3>'
        f'<p class="ink-lead">{_when(run)}{" · " if facts else ""}{" · ".join(facts)}</p><p class="ink-note">{html.escape(words)}</p>{message}</div>'
    )


def _when(run: Path) -> str:
    return time.strftime("%-d %B %Y, %H:%M", time.strptime(run.name[:15], "%Y%m%d-%H%M%S"))


def _again(run: Path, config: RunConfig) -> None:
    settings.give(config, f"The retrain of {_when(run)}")
    st.session_state["history-acted"] = True


def _delete(run: Path) -> None:
    with problems.telling("history-problem"):
        visitor.demand_run(run, "delete")
        box = artefacts.box(run)
        runs.remove(run)
        if box:  # of a job that ended without a word it is still there; in the background, for its address may not answer
            threading.Thread(target=cluster.take_away, args=(box,), daemon=True).start()
        panel.forget()
        st.session_state["history-acted"] = True


def _show_more() -> None:
    st.session_state["history-shown"] = st.session_state.get("history-shown", FEW) + MORE
