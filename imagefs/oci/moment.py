"""Moments as docker's `--since` and `--until` take them: durations, dates and seconds since the epoch."""

import re
from datetime import datetime

from imagefs.errors import InvalidReference

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"[+-]?(?:{_PART.pattern})+", re.ASCII)
_SECONDS = re.compile(r"-?\d{1,12}(\.\d{1,9})?", re.ASCII)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def parse(text: str, now: float) -> float:
    """Seconds since the epoch: of a duration such as `1h30m` before `now`, a date of RFC 3339, or just such seconds.

    Times may be left out of a date from the end on, and a date without a zone is one of here. Raises
    `InvalidReference`.
    """
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return now + seconds if text.startswith("-") else now - seconds
    if _SECONDS.fullmatch(text):
        return float(text)
    date = _DATE.fullmatch(text)
    if date is not None:
        day, clock, zone = date.groups(default="")
        try:
            return datetime.fromisoformat(f"{day}T{clock or '00'}{zone.upper()}").timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    raise InvalidReference(f"{text[:80]!r} is no time: neither a date, nor seconds, nor a duration such as 10m")
