"""The protocols: encoding and decoding of messages, and that a change of any message needs a new version."""

import hashlib
import inspect
from typing import Any, get_type_hints

import msgspec
import pytest

from umwelt.cluster.wire import protocol, viewer_protocol
from umwelt.cluster.wire.messages import WORD_SUM_MIN_BYTES, Message, checksum, version_mismatch

FORMS = {protocol: {1: "556a657ece054f23"}, viewer_protocol: {1: "19f13bd3a6166efc"}}
"""The hash (`form`) of all messages of a protocol, by protocol and version."""


def form(module: Any) -> str:
    """Returns a hash of names, tags, fields and types of all structs of a protocol, without docstrings."""
    structs = {
        name: [(field, repr(kind)) for field, kind in get_type_hints(struct, include_extras=True).items()]
        for name, struct in inspect.getmembers(module, inspect.isclass)
        if issubclass(struct, msgspec.Struct) and struct is not Message
    }
    bounds = [module.PROTOCOL_VERSION, module.MAX_HEADER_BYTES]
    return hashlib.blake2b(repr((sorted(structs.items()), bounds)).encode(), digest_size=8).hexdigest()


@pytest.mark.parametrize("module", FORMS, ids=["protocol", "viewer_protocol"])
def test_the_version_changes_with_the_form_of_any_message(module):
    forms = FORMS[module]
    assert max(forms) == module.PROTOCOL_VERSION
    assert form(module) == forms[module.PROTOCOL_VERSION], "raise PROTOCOL_VERSION, and enter the new form here"


@pytest.mark.parametrize("module", FORMS, ids=["protocol", "viewer_protocol"])
def test_a_message_that_belongs_to_the_other_protocol_does_not_decode(module):
    other = viewer_protocol if module is protocol else protocol
    frames = other.encode(other.Order("ticket", "pause"))
    with pytest.raises(ValueError):
        module.decode(frames)
    for frames in ([], [b""], [b"\xff" * 9], [bytes(module.MAX_HEADER_BYTES + 1)]):
        with pytest.raises(ValueError):
            module.decode(frames)


def test_raw_frames_pass_unchanged_and_a_change_of_any_is_found():
    large = bytes(range(256)) * (WORD_SUM_MIN_BYTES // 256) + b"tail"
    frames = protocol.encode(protocol.HaloMessage(1, b"pass", 2, 3, 4), [b"", large])
    message, raw = protocol.decode(frames)
    assert message == protocol.HaloMessage(1, b"pass", 2, 3, 4) and raw == [b"", large]
    for changed in ([b"x", large], [b"", large[:-1]], [b"", b"\1" + large[1:]], [b"", large, b""], [large, b""]):
        with pytest.raises(ValueError, match="checksum"):
            protocol.decode([frames[0], *changed])
    assert checksum(b"header", [b"ab", b"c"]) != checksum(b"header", [b"a", b"bc"])


def test_a_peer_of_another_version_is_refused_with_both_versions_and_the_fix():
    line = version_mismatch("this node", 3, "the coordinator", 2)
    assert line == (
        "this node: uses version 3 of the protocol, the coordinator version 2: "
        "install the same version of Umwelt on both"
    )
