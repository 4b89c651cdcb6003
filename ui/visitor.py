"""Who the visitor is, and what they may do: everything on one's own machine, less on a public address (inkling.toml)."""

import functools
import hashlib
import ipaddress
import math
import sys
import time
from pathlib import Path

import streamlit as st

from jobs import queue, runs, site
from models.errors import InklingError
from ui import figures

DOING = {  # what needs a right, as a sentence begins
    "retrain": "Retraining",
    "cancel": "Cancelling and resuming",
    "delete": "Deleting",
    "import": "Importing own images",
    "correct": "Keeping and reviewing corrections",
}


OVERRUN = 3  # times what a retrain may be expected to take, and it is stopped: estimates are off by two, and it may have stood back
PROXIED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")  # headers that proxies add


class NotAllowed(InklingError):
    """The visitor may not do this, or not now. The message says who may, or when."""


def is_public() -> bool:
    """Whether strangers may come: the site says so, or cannot be read, or the server is bound to more than this machine.

    Or it answers to more names than this machine's, as behind a proxy, through which everybody comes from here. Or this visitor
    comes from elsewhere all the same: what a server such as uvicorn is bound to, its command says and no option of Streamlit.
    """
    return here().mode == "public" or not _is_at_home()


def _is_at_home() -> bool:
    """Whether the server is for this machine alone, and the visitor at it."""
    names = (st.get_option("server.address"), *(st.get_option("server.allowedHosts") or ["*"]))
    return all(_is_loopback(name) for name in names) and _is_from_here()


def here() -> site.Site:
    """What the site's file says; where it cannot be read, a public site that allows nobody."""
    try:
        return site.read()
    except site.SiteError:
        return site.Site(mode="public")


def _is_from_here() -> bool:
    """Whether the page's connection comes from this machine and through no proxy. Of one that is closed nobody can say, which counts as no."""
    headers, peer = st.context.headers, st.context.ip_address  # None of this machine's usual addresses
    return bool(headers) and (peer is None or _is_loopback(peer)) and not any(name in headers for name in PROXIED)


def _is_loopback(address: str | None) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def address() -> str:
    """The e-mail address that the visitor signed in with, as the provider vouches for it; empty for everybody else."""
    user = st.user.to_dict() if has_provider() else {}
    if not user.get("is_logged_in") or not _is_vouched_for(user.get("email_verified")):
        return ""
    # When this sign-in was; auth_time is when the provider's own session began, which signing in again may not renew.
    if time.time() - float(user.get("iat") or 0) > here().sign_in_hours * 3600:
        return ""
    return str(user.get("email") or "")


def _is_vouched_for(claim: object) -> bool:
    """Whether a provider says that an address was verified; some say it in words, some, where the site puts up with it, say nothing."""
    return claim in (True, "true") or (claim is None and not here().require_verified_email)


def has_provider() -> bool:
    """Whether [auth] in .streamlit/secrets.toml names somebody to sign in with."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def owner() -> str:
    """What a run is said to belong to: a digest of the address, so that no file has the address itself. Empty on one's own machine."""
    return hashlib.sha256(f"inkling {address().lower()}".encode()).hexdigest()[:16] if is_public() else ""


def may_act() -> bool:
    """Whether the visitor may do more than draw and upload."""
    try:
        demand("retrain")
    except InklingError:
        return False
    return True


def demand(act: str) -> None:
    """Raises NotAllowed unless the visitor may do what DOING has; called where it is done, for a button that is not shown stops nobody."""
    if not is_public():
        return
    if fault := _fault():
        raise NotAllowed(f"{DOING[act]} is off until this server's settings are mended{fault}")
    if not has_provider():
        raise NotAllowed(f"{DOING[act]} is off on this server: nobody can sign in here.")
    if not address():
        raise NotAllowed(f"{DOING[act]} is for people on this server's list: sign in first.")
    if not here().allows(address()):
        raise NotAllowed(f"{DOING[act]} is for people on this server's list, and {address()} is not on it: ask who runs the server.")


def _fault() -> str:
    """What is wrong with the site's file, as a sentence ends; empty where nothing is. Strangers hear no more of it than that: it names
    paths and addresses."""
    try:
        site.read()
    except site.SiteError as error:
        _log(str(error))
        return f": {error}." if _is_at_home() else "."
    return ""


@functools.lru_cache(maxsize=16)
def _log(fault: str) -> None:
    """Once: the page asks with every click."""
    print(fault, file=sys.stderr, flush=True)


def demand_run(folder: Path, act: str = "cancel") -> None:
    """Raises NotAllowed unless a run is the visitor's own, or the machine is."""
    demand(act)
    if not folder.is_dir():
        raise NotAllowed(f"{folder.name} is not there any more: it was deleted meanwhile.")
    if is_public() and runs.owner(folder) != owner():
        raise NotAllowed(f"{folder.name} is somebody else's retrain: only they may cancel, resume or delete it.")


def demand_retrain(seconds: float) -> None:
    """Raises NotAllowed when one more retrain, expected to take this long, is more than a visitor may have."""
    demand("retrain")
    if not is_public():
        return
    most_seconds, most_runs = here().retrain_minutes * 60, here().retrains
    if seconds > most_seconds:
        raise NotAllowed(
            f"This retrain is expected to take {figures.duration(seconds)}, and one may take {figures.duration(most_seconds)} here: choose fewer epochs or a smaller network."
        )
    own = [run for run in {*(place.run for place in queue.waiting()), *queue.active_runs()} if runs.owner(run) == owner()]
    if len(own) >= most_runs:
        raise NotAllowed(
            f"{len(own)} of your retrains {'is' if len(own) == 1 else 'are'} at work or waiting, and a visitor may have {most_runs}: try again when one has ended."
        )


def granted() -> float | None:
    """Seconds after which the visitor's retrain is stopped, however long it was expected to take; None on their own machine."""
    return OVERRUN * 60 * here().retrain_minutes if is_public() else None


def count(what: str, limit: str) -> None:
    """Counts one act of this visitor. limit: the setting of Site that says how many may be in a minute. Raises NotAllowed when this is one too many."""
    if not is_public():
        return
    most_a_minute = getattr(here(), limit)
    now = time.monotonic()
    times = [moment for moment in st.session_state.get(f"visitor-{what}", []) if now - moment < 60]
    if len(times) >= most_a_minute:
        wait = math.ceil(60 - (now - times[-most_a_minute]))
        raise NotAllowed(f"More than {most_a_minute:,} {what} a minute from one visitor: try again in {wait} s.")
    st.session_state[f"visitor-{what}"] = [*times, now]


def show() -> None:
    """The part of the sidebar that says who one is; nothing on one's own machine."""
    if not is_public():
        return
    st.divider()
    if fault := _fault():
        st.caption(
            f"This server's settings have to be mended{figures.in_markdown(fault)} Until then drawing and uploads are for everybody, the rest is off."
        )
    elif not has_provider():
        st.caption("A public page: drawing and uploads are for everybody, the rest is off.")
    elif address():
        st.caption(f"Signed in as {address()}" + ("" if may_act() else ", which is not on this server's list") + ".")
        st.button("Sign out", icon=":material/logout:", key="visitor-logout", width="stretch", on_click=st.logout)
    else:
        is_signed_in = st.user.to_dict().get("is_logged_in")
        st.caption(
            "Signed in too long ago, or with an address that the provider does not vouch for: sign in again."
            if is_signed_in
            else "Sign in to retrain."
        )
        st.button("Sign in", icon=":material/login:", key="visitor-login", width="stretch", on_click=st.login)
