"""Tasks: finding them by name, and encoding arguments and results."""

import time

import msgspec
import numpy as np
import pytest

from umwelt.cluster.tasks import registry
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.tasks.registry import find_task, pack, pack_arguments, pack_list, unpack
from umwelt.cluster.tasks.worker import TaskCall
from umwelt.sandbox.errors import RunError, UmweltError


def test_values_are_equal_after_packing_and_unpacking():
    value = {"a": [1, -2.5, None, True, "x", b"\0"], "b": {"c": (1 << 64) - 1}}
    assert unpack(pack(value)) == value
    arrays = [np.arange(6).reshape(2, 3).astype(dtype) for dtype in ("u1", "i8", ">i4", "f4", "bool")]
    for array, found in zip(arrays, unpack(pack(arrays)), strict=True):
        assert np.array_equal(array, found) and found.dtype == array.dtype.newbyteorder("<")
    assert unpack(pack(np.int16(7))) == 7 and unpack(pack_list([pack(1), pack("b")])) == [1, "b"]


@pytest.mark.parametrize("value", [{1: print}, object(), np.array(["a"]), np.array([object()]), 1 << 80, lambda: 1])
def test_values_that_cannot_be_packed_are_refused_with_one_line(value):
    with pytest.raises(RunError, match="cannot be sent") as refused:
        pack([value])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x91" * 5000, b"\xc7\x05\x01hello", b"\xc7\x01\x07x", b"\xd9\x05ab", pack(1) + b"x"]
)
def test_malformed_values_are_refused(content):
    with pytest.raises(RunError, match="a malformed value"):
        unpack(content)


@pytest.mark.parametrize(
    ("dtype", "shape", "values"),
    [
        ("<O8", [1], b"12345678"),
        ("|S4", [1], b"abcd"),
        ("<i8", [2], b"12345678"),
        ("<i8", [-1], b"12345678"),
        ("<i8", [1], b"1234567"),
        ("<i8", [1 << 40, 1 << 40], b""),
        ("<m8", [1], b"12345678"),
    ],
)
def test_malformed_arrays_are_refused(dtype, shape, values):
    forged = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, msgspec.msgpack.encode([dtype, shape, values])))
    with pytest.raises(RunError):
        unpack(forged)


def test_an_installed_task_is_found_by_its_entry_point():
    assert find_task("own.add")(3, 4) == 7
    assert unpack(find_task("own.add").run(pack_arguments("own.add", [3], {"other": 4}))) == 7


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own.ad", 'did you mean "own.add"'),
        ("os:system", "no task"),
        ("own.none", "is not a task"),
        ("a\nb", "no task"),
    ],
)
def test_only_tasks_are_found_and_only_by_their_names(name, line):
    with pytest.raises(UmweltError, match=line) as refused:
        find_task(name)
    assert "\n" not in str(refused.value)


def test_the_name_of_a_builtin_task_cannot_be_replaced(monkeypatch):
    monkeypatch.setitem(registry.BUILTIN, "own.add", "umwelt.cluster.tasks.builtin:spin")
    registry.known_tasks.cache_clear()
    assert find_task("own.add").name == "spin"


@pytest.mark.parametrize(
    ("given", "named", "line"),
    [
        ((), {}, "missing a required argument"),
        (("x",), {}, "Expected `int`"),
        ((1, 2, 3), {}, "too many"),
        ((1,), {"othr": 2}, "unexpected keyword"),
        ((1,), {"say": 2}, "unexpected"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_one_line(given, named, line):
    with pytest.raises(RunError, match=line) as refused:
        find_task("own.add").run(pack_arguments("own.add", given, named))
    assert 'task "own.add"' in str(refused.value) and "give one: int, other: int = 0" in str(refused.value)


@pytest.mark.parametrize("content", [[], [1, 2], [[1]], [[1], {2: 3}], {"a": 1}, None])
def test_malformed_arguments_are_refused_with_one_line(content):
    with pytest.raises(RunError, match="malformed arguments"):
        find_task("own.add").run(pack(content))


def test_too_large_arguments_are_refused():
    with pytest.raises(RunError, match="KiB at most"):
        pack_arguments("own.outer", [np.zeros(1 << 18)], {})


def test_an_exception_in_a_task_is_one_line():
    with pytest.raises(RunError, match=r'task "own\.outer": ') as refused:
        find_task("own.outer").run(pack_arguments("own.outer", [{"a": 1}], {}))
    assert "\n" not in str(refused.value)


def test_a_node_worker_executes_tasks_in_order_and_ends_those_over_their_time_limit():
    worker, found = NodeWorker("here"), []
    try:
        for ticket, name, given in (
            ("a", "own.add", [1]),
            ("b", "own.forever", []),
            ("c", "own.large", [2 << 20]),
            ("d", "own.nobody", []),
            ("e", "own.add", [2]),
        ):
            worker.begin(ticket, TaskCall(name, pack_arguments(name, given, {})), 0.3 if ticket == "b" else 30.0)
        worker.begin("f", TaskCall("own.forever", pack_arguments("own.forever", [], {})), 30.0)
        worker.cancel("f")
        end_s = time.monotonic() + 60
        while worker.is_busy and time.monotonic() < end_s:
            found += worker.poll()
            time.sleep(0.005)
    finally:
        worker.close()
    assert [done.ticket for done in found] == ["a", "b", "c", "d", "e"]
    assert [unpack(found[at].result) for at in (0, 4)] == [1, 2]
    assert 'task "own.forever" on here was ended after 0.3 s' in found[1].line and not found[1].again
    assert "1024 KiB at most" in found[2].line and "no task" in found[3].line
