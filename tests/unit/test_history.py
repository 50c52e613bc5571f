"""Which step of its history made each layer of an image."""

import msgspec
import pytest

from imagefs.oci import history
from imagefs.oci.history import HistoryEntry, created_by
from imagefs.oci.model import ImageConfig, decode

ADD = {"created": "2024-01-01T00:00:00Z", "created_by": "ADD rootfs.tar /", "comment": "first"}
CMD = {"created_by": 'CMD ["sh"]', "empty_layer": True}
RUN = {"created_by": "RUN true", "empty_layer": False, "author": "me"}


def commands(steps, layers):
    return [step and step.created_by for step in created_by(steps, layers)]


def test_steps_without_a_layer_are_passed_over():
    assert created_by([ADD, CMD, RUN], 2) == [
        HistoryEntry("2024-01-01T00:00:00Z", "ADD rootfs.tar /", None, "first"),
        HistoryEntry(None, "RUN true", "me"),
    ]


@pytest.mark.parametrize("absent", [None, [], {}, "ADD", 7, [ADD], [ADD, CMD], [ADD, RUN, RUN], [ADD, "RUN"], [ADD, 1]])
def test_what_does_not_fit_the_layers_is_none(absent):
    assert created_by(absent, 2) == [None, None]
    assert created_by(absent, 0) == []


def test_odd_members():
    odd = [None, {"created_by": 5, "created": ["x"]}, {"created_by": "RUN x", "empty_layer": "true", "comment": ""}]
    assert created_by(odd, 3) == [HistoryEntry(), HistoryEntry(), HistoryEntry(None, "RUN x")]


def test_bounds(monkeypatch):
    monkeypatch.setattr(history, "MAX_STEPS", 3)
    monkeypatch.setattr(history, "MAX_TEXT", 5)
    assert commands([ADD, ADD, CMD], 2) == ["ADD r", "ADD r"]
    assert commands([ADD, ADD, CMD, CMD], 2) == [None, None]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"{}", [None]),
        (b'{"history": null}', [None]),
        (b'{"history": {"created_by": "x"}}', [None]),
        (b'{"history": [{"created_by": "RUN x"}, {"empty_layer": true}]}', ["RUN x"]),
        (b'{"history": [{"created_by": "\xff"}]}', [None]),
    ],
)
def test_no_configuration_is_refused_for_it(document, expected):
    assert commands(decode(document, ImageConfig, "config").history, 1) == expected


def test_decoded_and_not():
    assert created_by(msgspec.Raw(msgspec.json.encode([ADD, CMD, RUN])), 2) == created_by([ADD, CMD, RUN], 2)
