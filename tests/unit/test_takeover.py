"""When pyfuse3's loop is taken over, and when it serves itself."""

import pyfuse3
import pytest

from imagefs.fuse import takeover


def test_this_pyfuse3_is_known(monkeypatch):
    monkeypatch.delenv(takeover.STOCK_LOOP, raising=False)
    assert takeover.possible()


def test_nobody_has_to_have_it(monkeypatch):
    monkeypatch.setenv(takeover.STOCK_LOOP, "1")
    assert not takeover.possible()


@pytest.mark.parametrize("version", ["3.3.0", "3.6.0", "4.0.0"])
def test_other_versions_are_left_alone(monkeypatch, version):
    monkeypatch.delenv(takeover.STOCK_LOOP, raising=False)
    monkeypatch.setattr(pyfuse3, "__version__", version)
    assert not takeover.possible()


def test_a_loop_that_is_made_otherwise_is_left_alone(monkeypatch):
    monkeypatch.delenv(takeover.STOCK_LOOP, raising=False)
    monkeypatch.delattr(pyfuse3, "_wait_fuse_readable")
    assert not takeover.possible()
