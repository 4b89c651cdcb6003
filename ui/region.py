"""Where in a picture to look: a rectangle that is dragged over it."""

import streamlit as st
from PIL import Image

from inference.ink import over_contrasting_ground

SIDE = 300  # pixels of the longest side on the page
LEAST = 0.02  # of the picture's side: what is smaller was a click

Region = tuple[float, float, float, float]


def small(image: Image.Image) -> Image.Image:
    """A picture as it is shown to drag on."""
    shown = over_contrasting_ground(image, "RGB")
    shown.thumbnail((SIDE, SIDE))
    return shown


def drag(shown: Image.Image, key: str) -> Region | None:
    """Shows a picture, `small`, to drag a rectangle on; returns the last one as left, top, right, bottom fractions of it, None before there is one."""
    from streamlit_drawable_canvas import st_canvas  # it can be imported by a running page only

    result = st_canvas(
        drawing_mode="rect",
        fill_color="rgba(69, 98, 216, 0.18)",
        stroke_color="#4562d8",
        stroke_width=3,
        background_image=shown,
        width=shown.width,
        height=shown.height,
        key=key,
    )
    st.caption("Drag a rectangle over the picture; the last one counts.")
    rectangles = [each for each in (result.json_data or {}).get("objects", []) if str(each.get("type", "")).lower() == "rect"]
    return _fractions(rectangles[-1], shown.size) if rectangles else None


def _fractions(rectangle: dict, size: tuple[int, int]) -> Region | None:
    """A fabric.js rectangle as fractions of the canvas; None where it is hardly more than a click."""
    width, height = rectangle["width"] * rectangle.get("scaleX", 1), rectangle["height"] * rectangle.get("scaleY", 1)
    left = rectangle["left"] - (width / 2 if rectangle.get("originX") == "center" else 0)
    top = rectangle["top"] - (height / 2 if rectangle.get("originY") == "center" else 0)
    edges = (left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1])
    left, top, right, bottom = (round(min(1.0, max(0.0, edge)), 4) for edge in edges)
    return (left, top, right, bottom) if right - left >= LEAST and bottom - top >= LEAST else None


def cut(image: Image.Image, region: Region | None) -> Image.Image:
    """The part of a picture in a region; all of it without one."""
    if region is None:
        return image
    left, top, right, bottom = (round(edge * side) for edge, side in zip(region, image.size * 2, strict=True))
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
