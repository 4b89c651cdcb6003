"""ui/pad.py: the ink that a session keeps."""

import json

import numpy as np
import pytest

from ui import pad


def test_what_nobody_can_have_drawn_is_not_kept_and_no_pen_is_wider_than_those_that_there_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pad.st, "session_state", {})
    ink = pad.Pad("fashion-mnist")
    path = [["M", 10, 160], *(["L", 10 + number % 300, 160] for number in range(300))]
    drawn = json.dumps([{"path": path, "strokeWidth": 9000, "stroke": "#ffffff"}])
    ink.hear(drawn)
    picture = np.asarray(ink.drawing)
    assert picture[150:170, 10:310].all()
    assert not picture[180:].any()
    ink.hear(json.dumps([{"path": path * 100, "strokeWidth": 9, "stroke": "#ffffff"}]))
    assert ink.now == drawn
    for number in range(500):
        ink.hear(drawn + " " * number)
    assert len(ink.history) == pad.MOST_SNAPSHOTS
