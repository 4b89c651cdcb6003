"""benchmarks/campus.py against what queueing theory says in closed form."""

import numpy as np
import pytest

from benchmarks import campus


def test_what_a_drawing_and_an_open_page_take_are_told_apart():
    assert campus.drawing_and_page((1.0, 8.0), (0.1, 26.0)) == pytest.approx((6.0, 2.0))


def test_the_mean_answer_is_pollaczek_and_khinchins():
    taken = campus.answers(clients=100, rate=1.0, drawing=7.0, page=0.0)
    load = 0.7
    assert np.mean(taken) == pytest.approx(7.0 * (1 + load / (2 * (1 - load))), rel=0.05)


def test_open_pages_take_their_share_and_too_many_people_are_never_answered():
    assert np.mean(campus.answers(100, 1.0, 5.0, 2.0)) > np.mean(campus.answers(100, 1.0, 5.0, 0.0))
    assert np.isinf(campus.answers(200, 1.0, 5.0, 0.0)).all()
    assert campus.most_clients(1.0, 5.0, 0.0) < 200


def test_retrains_wait_as_in_a_queue_of_one_and_less_with_two():
    one, two = (np.mean(campus.waits(60, 40, devices)) for devices in (1, 2))
    load = 60 * 40 / 3600
    assert one == pytest.approx(40 * load / (2 * (1 - load)), rel=0.1)
    assert two < one / 3


def test_what_answers_beside_the_server_adds_its_own_time_and_only_the_slower_of_both_holds_up():
    taken = campus.answers(clients=100, rate=1.0, drawing=7.0, page=0.0, beside=5.0)
    load = 0.7
    assert np.mean(taken) == pytest.approx(5.0 + 7.0 * (1 + load / (2 * (1 - load))), rel=0.05)  # Friedman 1965: of either order
    assert np.isinf(campus.answers(100, 1.0, 7.0, 0.0, beside=11.0)).all()
