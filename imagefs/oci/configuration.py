"""What a configuration says for people: any values, of which nothing depends (image specification, "Properties")."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_LONGEST_NUMBER = 99
"""How many digits a number may have."""


def values(data: bytes) -> Any:  # noqa: ANN401  plain JSON values
    """A configuration's values: what python has no number or no text for is the text that it has, or none."""
    with suppress(ValueError, RecursionError):
        return json.loads(data.decode("utf-8", "replace"), parse_int=_number)
    return None


def _number(text: str) -> int | str:
    return int(text) if len(text) < _LONGEST_NUMBER else text


def execution(configuration: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """How containers are to be run: the member `config` of a configuration's values, empty where there is none."""
    told = configuration.get("config") if isinstance(configuration, dict) else None
    return told if isinstance(told, dict) else {}


def labels(configuration: Any) -> dict[str, str]:  # noqa: ANN401
    """The labels in a configuration's values; those that are no text are passed over."""
    found = execution(configuration).get("Labels")
    found = found if isinstance(found, dict) else {}
    return {key: value for key, value in found.items() if isinstance(value, str)}
