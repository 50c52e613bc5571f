"""What a store has to be after a fault, and what it is.

Whatever happened, in a new process: the store opens; `imagefs images` and `imagefs check` have nothing to complain
about; it has the names of before the command, or those of after it; every blob and every layer under a digest has that
digest; every image gives the tree that it gave before. When the leases have ended, `imagefs gc` leaves the files that
are there when the command was never given, or those that are there when it was done; of derived ones, which cost no
more than time, some of these and some of those. The command, given again, does what it does. Where it was not killed,
it said in one line what was wrong and where, or nothing was.

What becomes of a state later is looked at once: points that leave the same one, see `states`, share the answer.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from faults import running
from faults.injecting import Fault
from faults.operations import Operation, Place, Stores
from faults.running import Outcome
from faults.states import digest_of, files, state_of
from imagefs.api import write_tar
from imagefs.cli.main import cli
from imagefs.store import leases
from imagefs.store.store import Store

Names = dict[str, Any]
"""Images by name: the digest and the labels of each."""


class Expected(NamedTuple):
    """What there is where the operation was never done, or was done: names; files after gc; trees; the file written."""

    names: Names
    files: list[str]
    trees: dict[str, str]
    output: str


class Verdict(NamedTuple):
    """What became of it, and what is wrong with that."""

    ended: str
    complaints: list[str]
    rubbish: list[str]


class Run(NamedTuple):
    """One command with one fault; `point` is None where it ended before it came there."""

    operation: str
    fault: Fault
    number: int
    point: str | None
    verdict: Verdict


class Judge:
    """Judges one operation. `folder` is for the stores that it needs for that."""

    def __init__(self, stores: Stores, operation: Operation, folder: Path) -> None:
        self._stores, self._operation, self._folder = stores, operation, folder
        self._known: dict[str, list[str]] = {}  # what is wrong with a state
        with self._copy(None) as place:
            self.before = self._expected(place)
        with self._copy(None) as place:
            self._do(place)
            self.done_files = files(place.store)
            self.after = self._expected(place)
        with self._copy(None) as place:
            self._begun_files = files(place.store)

    def elsewhere(self, folder: Path) -> "Judge":
        """The same one, with another folder: several processes may judge at a time."""
        other = copy.copy(self)
        other._folder = folder
        return other

    def is_after(self, place: Place) -> bool:
        """Whether the names, and the file beside, are those of after the operation."""
        try:
            names = running.apart(lambda: _looked_at(place.store))
        except RuntimeError:
            return False
        return bool(names == self.after.names) and digest_of(place.output) == self.after.output

    def judge(self, place: Place, outcome: Outcome | None, fault: Fault) -> Verdict:
        """Look at what an operation left in a place; `outcome` is None where the machine died with it."""
        complaints: list[str] = []
        try:
            names, state = running.apart(lambda: (_looked_at(place.store), state_of(place.store, place.output)))
            done = names == self.after.names and (names != self.before.names or self._seems_done(outcome))
            if names not in (self.before.names, self.after.names):
                complaints.append(f"names are {names}")
            if outcome is not None:
                complaints += self._wrong_with_outcome(outcome, fault, place, done=done)
            rubbish = sorted(set(files(place.store)) - {*self._begun_files, *self.done_files})
            if state not in self._known:
                self._known[state] = self._wrong_later(place, done=done)
            complaints += self._known[state]
        except (RuntimeError, running.Hangs) as error:
            return Verdict("damaged", [*complaints, str(error)], [])
        return Verdict(f"{_ending(outcome)}{'done' if done else 'not done'}", complaints, rubbish)

    def _wrong_later(self, place: Place, *, done: bool) -> list[str]:
        """What is wrong with what becomes of it: when garbage is collected, and when the command is given again."""
        with self._copy(place) as other:
            complaints = list(self._wrong_after_gc(other))
        again = not (self._operation.once and (done or self._is_gone(place)))
        with self._copy(place) as other:
            return complaints + list(self._wrong_when_repeated(other, again=again))

    def _seems_done(self, outcome: Outcome | None) -> bool:
        return outcome is not None and outcome.status == 0

    def _is_gone(self, place: Place) -> bool:
        """Whether the blob that was to go is gone."""
        loose = self._stores.loose.replace(":", "/")
        return self._operation.store == "blob" and not (place.store / "blobs" / loose).exists()

    def _wrong_with_outcome(self, outcome: Outcome, fault: Fault, place: Place, *, done: bool) -> Iterator[str]:
        if fault.is_death:
            if outcome.status not in (-9, 0):
                yield f"status {outcome.status}"
            return
        if outcome.status == 0:
            if not done:
                yield "it says that all is well, and did nothing"
            if self._operation.output and digest_of(place.output) != self.after.output:
                yield "it says that all is well, and wrote no archive"
            return
        lines = outcome.err.splitlines()
        if outcome.status != 1 or len(lines) != 1 or not lines[0].startswith("imagefs: "):
            yield f"status {outcome.status}, and it says: {outcome.err.strip() or 'nothing'}"
        elif not any(text in lines[0] for text in fault.texts) or str(place.folder) not in lines[0]:
            yield f"unclear: {lines[0].replace(str(place.folder), 'PLACE')}"
        # Where nothing can be removed any more, nothing is.
        if (
            self._operation.output
            and fault is not Fault.BROKEN
            and [each.name for each in place.output.parent.iterdir()] != [place.output.name]
        ):
            yield "there is half an archive"

    def _wrong_after_gc(self, place: Place) -> Iterator[str]:
        found = self._expected(place)
        for expected in (self.before, self.after):
            if found.names == expected.names and self._are_those(found.files, expected.files):
                if found.trees != expected.trees:
                    yield f"trees differ: {_difference(list(expected.trees.items()), list(found.trees.items()))}"
                break
        else:
            expected = self.after if found.names == self.after.names else self.before
            yield f"after gc: {_difference(expected.files, found.files)}"
        if found.output not in (self.before.output, self.after.output):
            yield "the file has something else in it"

    def _are_those(self, found: list[str], expected: list[str]) -> bool:
        """Whether these are the files, of which those that are derived may be from before the command or after it."""
        derived = [{each for each in files if each.startswith("layers/")} for files in (found, *self._states)]
        kept = [[each for each in files if not each.startswith("layers/")] for files in (found, expected)]
        return kept[0] == kept[1] and derived[1] & derived[2] <= derived[0] <= derived[1] | derived[2]

    def _wrong_when_repeated(self, place: Place, *, again: bool) -> Iterator[str]:
        if again:
            outcome = self._do(place, check=False)
            if outcome.status != 0:
                yield f"again: status {outcome.status}, {outcome.err.strip()}"
        found = self._expected(place)
        if not self._are_those(found.files, self.after.files):
            yield f"again: {_difference(self.after.files, found.files)}"
        for what, one, other in (
            ("names", self.after.names, found.names), ("trees", self.after.trees, found.trees),
            ("output", self.after.output, found.output),
        ):  # fmt: skip
            if one != other:
                yield f"again: {what} are {other}, not {one}"

    def _do(self, place: Place, *, check: bool = True) -> Outcome:
        stores, operation = self._stores, self._operation
        outcome = running.run(place.store, stores.arguments(operation, place), stdin=stores.stdin(operation))
        if check and outcome.status != 0:
            raise RuntimeError(f"{operation.name}: {outcome.err}")
        return outcome

    def _expected(self, place: Place) -> Expected:
        names, there, trees = running.apart(lambda: _collected(place.store))
        return Expected(names, there, trees, digest_of(place.output))

    @property
    def _states(self) -> tuple[list[str], list[str]]:
        return self.before.files, self.after.files

    @contextmanager
    def _copy(self, place: Place | None) -> Iterator[Place]:
        folder = self._folder / "judged"
        try:
            yield self._stores.begin(self._operation, folder) if place is None else place.copy(folder)
        finally:
            shutil.rmtree(folder)


def _ending(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    return {0: "went on, ", 1: "refused, "}.get(outcome.status, "")


def _difference(expected: list[Any], found: list[Any]) -> str:
    missing = [str(each) for each in expected if each not in found]
    more = [str(each) for each in found if each not in expected]
    return f"missing {missing}, too many {more}"


# -- in a process of their own


def _looked_at(store: Path) -> Names:
    """The names of a store, after a look at all that is in it. Raises `RuntimeError`."""
    _command(store, "images", "--json")
    for each in json.loads(_command(store, "check", "--json"))["images"]:
        if not each["complete"] or each["damage"] is not None:
            raise RuntimeError(f"{each['name']} is not complete: {each['present']} of {each['needed']} blobs")
    for path in (*(store / "blobs" / "sha256").iterdir(), *(store / "layers").glob("*/layer.tar")):
        named = path.name if path.parent.name == "sha256" else path.parent.name.removeprefix("sha256:")
        if digest_of(path) != named:
            raise RuntimeError(f"{path.relative_to(store)} has something else in it")
    with Store(store) as opened:
        return {each.name: [each.target.digest, opened.catalog.labels(each.name)] for each in opened.images()}


def _collected(store: Path) -> tuple[Names, list[str], dict[str, str]]:
    """Names, files and trees when garbage, whose leases have ended, was collected. Raises `RuntimeError`."""
    with Store(store) as opened:
        opened.catalog.connection.execute("UPDATE lease SET expires_at = 1 WHERE expires_at IS NOT NULL")
    # After a loss of power the machine starts anew, and then nothing is held by a process of before.
    leases._boot = lambda: "another boot"  # type: ignore[assignment]
    _command(store, "gc")
    there = files(store)
    names = _looked_at(store)
    with Store(store) as opened:
        if opened.catalog.leases():
            raise RuntimeError("gc left leases")
        return names, there, {name: _tree(opened, name) for name in names}


def _tree(store: Store, name: str) -> str:
    content = hashlib.sha256()

    class Stream:
        def write(self, data: bytes) -> int:
            content.update(data)
            return len(data)

    write_tar(store, name, Stream())
    return content.hexdigest()


def _command(store: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--store", str(store), *arguments], standalone_mode=False)
    if result.exception is not None:
        raise RuntimeError(f"imagefs {' '.join(arguments)}: {result.exception!r}")
    return result.stdout
