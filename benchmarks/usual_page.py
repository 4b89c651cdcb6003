"""PYTHONPATH=. streamlit run benchmarks/usual_page.py

The yardstick: the page as tutorials write it. torch and torchvision in the server, the network run eagerly, the whole
script again after every stroke, a bar chart of the probabilities. It serves the weights that Inkling serves, one network.
"""

import numpy as np
import pandas as pd
import streamlit as st
import torch
from PIL import Image
from streamlit_drawable_canvas import st_canvas
from torchvision import transforms

from models import shelf
from training import published

MEAN_OF_INK = 0.02  # below it the canvas counts as empty


@st.cache_resource
def load_model() -> torch.nn.Module:
    """The network in torch, loaded once."""
    return published.network(shelf.load_card("mnist", "lenet5"))


st.set_page_config(page_title="Digit recogniser")
model = load_model()
to_tensor = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor()])
generation = st.session_state.setdefault("generation", 0)
canvas = st_canvas(
    stroke_width=20,
    stroke_color="#ffffff",
    background_color="#000000",
    width=320,
    height=320,
    drawing_mode="freedraw",
    return_image_data=True,
    key=f"canvas-{generation}",
)
if st.button("Clear", key="clear"):
    st.session_state["generation"] += 1
    st.rerun()
picture = None if canvas.image_data is None else Image.fromarray(canvas.image_data.astype(np.uint8)).convert("L")
if picture is None or np.asarray(picture).mean() / 255 < MEAN_OF_INK:
    st.info("Draw a digit")
else:
    pixels = (to_tensor(picture) * 255).to(torch.uint8)[None]  # [1, 1, 28, 28]
    with torch.no_grad():
        probabilities = model(pixels)[0][0].numpy()
    st.header(f"Prediction: {probabilities.argmax()} ({probabilities.max():.4%})")
    st.bar_chart(pd.DataFrame({"probability": probabilities}, index=list("0123456789")))
