from datetime import UTC, datetime, timedelta

import pytest

from imagefs.errors import InvalidFilter
from imagefs.oci.moments import created, meant

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("1h", timedelta(hours=1)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("+90m", timedelta(minutes=90)),
        ("-1s", timedelta(seconds=-1)),
        ("1m.5s", timedelta(seconds=60.5)),
        ("1500ms", timedelta(seconds=1.5)),
        ("2000us", timedelta(milliseconds=2)),
        ("2000µs", timedelta(milliseconds=2)),
        ("1000000ns", timedelta(milliseconds=1)),
    ],
)
def test_durations_are_before_now(text, before):
    assert meant(text, NOW) == NOW - before


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-06T07:08:09Z", NOW),
        ("2024-05-06T09:08:09+02:00", NOW),
        ("2024-05-06t07:08:09z", NOW),
        ("2024-05-06T07:08:09.250000000z", NOW + timedelta(milliseconds=250)),
        ("2024-05-06T07:08Z", NOW - timedelta(seconds=9)),
        ("2024-05-06T07Z", NOW - timedelta(minutes=8, seconds=9)),
        ("2024-05-06Z", datetime(2024, 5, 6, tzinfo=UTC)),
        ("2024-05-06-02:00", datetime(2024, 5, 6, 2, tzinfo=UTC)),
        ("1714979289", NOW),
        ("1714979289.25", NOW + timedelta(milliseconds=250)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times(text, moment):
    assert meant(text, NOW) == moment


@pytest.mark.parametrize("text", ["2024-05-06T07:08:09", "2024-05-06T07:08", "2024-05-06"])
def test_times_without_a_zone_are_local(text):
    assert meant(text, NOW) == datetime.fromisoformat(text).astimezone()


@pytest.mark.parametrize(
    "text",
    ["", "h", "1d", "1h ", "2024-5-6", "2024-02-30", "2024-W01-1", "1e9", "nan", "٣h", "9" * 30],
)
def test_what_is_no_moment(text):
    with pytest.raises(InvalidFilter):
        meant(text, NOW)


def test_dates_of_configurations():
    assert created("2024-05-06T07:08:09Z") == NOW
    assert created("2024-05-06T07:08:09.123456789Z") == NOW + timedelta(microseconds=123456)
    for text in (None, "", "2024-05-06", "2024-05-06T07:08:09", "2024-13-06T07:08:09Z", "2024-05-06T07:08:09Z\n"):
        assert created(text) is None
