"""The tests of other projects by name, each with a test of ours and its result, or with the reason why it has none.

    LOAD = Cases("moby", "integration/image/load_test.go", ["TestLoadDanglingImages"])

    @LOAD.case("the same", "TestLoadDanglingImages")
    def test_…

A module asserts `unaccounted()` of its lists, so that no name is without an answer and none has two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., None])


@dataclass
class Cases:
    """The tests in one file of another project."""

    project: str
    path: str
    names: Sequence[str]
    """Every test in it, its subtests as `go test` prints them, but with spaces."""
    answers: dict[str, list[str]] = field(default_factory=dict)
    """What is said about each: our result, or why there is none."""

    def case(self, result: str, *names: str) -> Callable[[Test], Test]:
        """Says that a test of ours is about these cases, and how imagefs does in them."""
        self._answer(result, names)
        return lambda test: test

    def table(self, result: str, arguments: str, rows: Mapping[str, Any]) -> Callable[[Test], Test]:
        """The same for a test that is run for each case, with a row of arguments by its name."""
        self._answer(result, rows)
        return pytest.mark.parametrize(arguments, list(rows.values()), ids=list(rows))

    def without(self, reason: str, *names: str) -> None:
        """Says why these cases have no meaning for imagefs."""
        self._answer(reason, names)

    def unaccounted(self) -> list[str]:
        """What is wrong with the list: names without an answer or with two, and answers to no name."""
        wrong = [f"{name}: no answer" for name in self.names if name not in self.answers]
        wrong += [f"{name}: {' / '.join(said)}" for name, said in self.answers.items() if len(said) > 1]
        wrong += [f"{name}: not in {self.path}" for name in self.answers if name not in self.names]
        return wrong + [f"{name}: listed twice" for name in set(self.names) if self.names.count(name) > 1]

    def _answer(self, said: str, names: Sequence[str] | Mapping[str, Any]) -> None:
        assert said and names
        for name in names:
            self.answers.setdefault(name, []).append(said)


def lines(text: str) -> list[str]:
    """Names that are written one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]
