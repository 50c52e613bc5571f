"""Points in time: those of configurations (RFC 3339), and those that a user means, as docker reads them."""

import re
from datetime import UTC, datetime, timedelta

from imagefs.errors import InvalidFilter

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?))?([zZ]|[+-]\d\d:\d\d)?", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,20})?", re.ASCII)
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"[+-]?(?:{_AMOUNT.pattern})+", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def created(text: str | None) -> datetime | None:
    """The moment that a configuration names, to the microsecond; None for what is no date and time."""
    if text is None or not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def duration(text: str) -> float | None:
    """The seconds of a duration such as `36h` or `1h30m`, as Go writes them; None for what is none."""
    if not _DURATION.fullmatch(text):
        return None
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _AMOUNT.findall(text))
    return -seconds if text.startswith("-") else seconds


def meant(text: str, now: datetime) -> datetime:
    """The moment that a user means: a duration before now such as `36h`, a date, a date and time, or a Unix time.

    A date is as in RFC 3339, with or without a time, down to the hour, and without a zone in this machine's. Durations
    are Go's. Raises `InvalidFilter`.
    """
    try:
        if (seconds := duration(text)) is not None:
            return now - timedelta(seconds=seconds)
        if found := _DATE.fullmatch(text):
            date, time, zone = found.groups()
            moment = datetime.fromisoformat(f"{date}T{time or '00'}{(zone or '').upper()}")
            return moment if zone else moment.astimezone()
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidFilter(f"{text[:160]!r} is neither a time such as 2024-05-06T07:08:09Z nor a duration such as 36h")
