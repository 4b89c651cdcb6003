"""Inkling's page: `streamlit run app.py`. Declares the pages."""

import streamlit as st

from ui import corrections, draw, experiments, history, models, own_images, settings, sidebar, upload, uploads
from ui.serving import warm_up
from ui.style import apply_style

st.set_page_config(page_title="Inkling", page_icon="static/logo.svg", layout="wide")
apply_style()
page = st.navigation(
    [
        st.Page(draw.page, title="Draw", icon=":material/draw:", default=True),
        st.Page(upload.page, title="Upload", icon=":material/photo_library:", url_path="upload"),
        st.Page(models.page, title="Models", icon=":material/neurology:", url_path="models"),
        st.Page(experiments.page, title="Experiments", icon=":material/experiment:", url_path=settings.EXPERIMENTS),
        st.Page(history.page, title="Retrains", icon=":material/history:", url_path="retrains"),
        st.Page(corrections.page, title="Corrections", icon=":material/flag:", url_path="corrections"),
        st.Page(own_images.page, title="Own images", icon=":material/add_photo_alternate:", url_path="own-images"),
    ],
    position="top",
)
uploads.forget_but_of(page.url_path)
sidebar.show(page.url_path)
settings.show_complaints(page.url_path)
page.run()
warm_up()  # last: it loads what later clicks need while the visitor already draws
