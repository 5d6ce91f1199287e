"""Resending requests: at growing intervals until they are answered or their time is over."""

from umwelt.cluster.wire.resender import RETRY_UNSENT_S, Resender


class Line:
    """Stands in for a function that sends a request: counts its calls, and returns whether it accepts them."""

    def __init__(self):
        self.sent, self.is_open = 0, True

    def __call__(self) -> bool:
        self.sent += 1
        return self.is_open


def times_sent(resender: Resender, line: Line, until_s: float, step_s: float = 0.25) -> list[float]:
    """Returns the times in seconds, from 0 on, at which a request is sent."""
    times, now_s = [], 0.0
    while now_s < until_s:
        now_s += step_s
        before = line.sent
        resender.poll(now_s)
        if line.sent > before:
            times.append(now_s)
    return times


def test_a_request_is_repeated_until_it_is_answered():
    resender, line = Resender(), Line()
    resender.begin("a", line, 0.0, interval_s=0.5)
    assert line.sent == 1 and "a" in resender
    assert times_sent(resender, line, 2.0) == [0.5, 1.0, 1.5, 2.0]
    assert resender.end("a") and not resender.end("a") and len(resender) == 0
    resender.poll(99.0)
    assert line.sent == 5


def test_the_interval_doubles_up_to_its_bound():
    resender, line = Resender(), Line()
    resender.begin("a", line, 0.0, interval_s=1.0, max_interval_s=4.0)
    assert times_sent(resender, line, 16.0) == [1.0, 3.0, 7.0, 11.0, 15.0]


def test_a_request_that_could_not_be_sent_is_tried_again_soon_and_then_counts_from_there():
    resender, line = Resender(), Line()
    line.is_open = False
    resender.begin("a", line, 0.0, interval_s=1.0, max_interval_s=8.0)
    assert times_sent(resender, line, 0.2, RETRY_UNSENT_S) == [0.05, 0.1, 0.15000000000000002, 0.2]
    line.is_open = True
    assert times_sent(resender, line, 1.0, 0.25) == [0.25]


def test_a_request_that_may_be_sent_only_once_is_repeated_until_it_is_sent():
    resender, line = Resender(), Line()
    line.is_open = False
    resender.begin("a", line, 0.0, interval_s=0.5, once=True)
    resender.poll(0.1)
    line.is_open = True
    resender.poll(0.2)
    resender.poll(99.0)
    assert line.sent == 3 and "a" in resender


def test_a_request_whose_time_is_over_is_reported_once():
    resender, line, ended = Resender(), Line(), []
    resender.begin("a", line, 0.0, interval_s=1.0, end_s=2.5, on_timeout=lambda: ended.append("a"))
    assert times_sent(resender, line, 9.0, 0.5) == [1.0, 2.0]
    assert ended == ["a"] and "a" not in resender


def test_a_callback_may_end_and_begin_requests():
    resender, line = Resender(), Line()
    resender.begin("a", line, 0.0, 1.0, end_s=1.0, on_timeout=lambda: resender.end("b"))
    resender.begin("b", line, 0.0, 1.0)
    resender.begin("c", line, 0.0, 1.0, end_s=1.0, on_timeout=lambda: resender.begin("d", line, 9.0, 1.0))
    resender.poll(9.0)
    assert "b" not in resender and "d" in resender and len(resender) == 1 and line.sent == 4
