"""What a loss of power may leave, replayed from a recording of what a command wrote.

The model is a file system that keeps no order on its own. At any moment of the command, when the power goes:

- What `fsync` was called for is there: of a file its content, of a folder the names in it.
- Of a file that was written to and not synced, there is nothing, a part, or all of it.
- A name that was made, moved or taken away, and whose folder was not synced since, is as it was before or as it is
  now, each on its own; a move may have put the new name there and not taken the old one away.
- Of the catalogue there is the state after some commit: the last one with `synchronous=FULL`, or a later one. What
  SQLite itself promises is trusted, and not replayed.

`fsync` of a new file is not taken to keep its name, though most file systems do. States are sampled: at each moment
the least that there can be, the most, and some in between. What the model does not have: single sectors of a write
that are torn out of order, disks that lie about what they wrote, and the rest of the machine. No block device whose
writes are cut was at hand, so that of ext4 and the others it is their documentation that is trusted.
"""

import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from faults import running
from faults.injecting import Fault
from faults.judging import Judge, Run
from faults.operations import Operation, Stores
from faults.recording import CATALOGUE, Recorder, Step

_MAKING = ("create", "mkdir", "rename", "link")
_NAMING = (*_MAKING, "unlink", "rmdir")


class Replay:
    """The recording of one operation, and the states that it may leave; what is needed is in `folder`."""

    def __init__(self, stores: Stores, operation: Operation, folder: Path) -> None:
        self._stores, self.operation, self._folder = stores, operation, folder
        self._saved = folder / "saved"
        self._saved.mkdir(parents=True)
        self._judge = Judge(stores, operation, folder)
        self.steps = self._recorded()

    def _recorded(self) -> list[Step]:
        place = self._stores.begin(self.operation, self._folder / "recorded")
        outcome = running.run(
            place.store,
            self._stores.arguments(self.operation, place),
            stdin=self._stores.stdin(self.operation),
            watch=(place.folder, lambda tell: Recorder(place.folder, self._saved, lambda step: tell(json.dumps(step)))),
        )
        shutil.rmtree(place.folder)
        if outcome.status != 0:
            raise RuntimeError(f"{self.operation.name}: {outcome.err}")
        return [Step(kind, tuple(paths), *rest) for kind, paths, *rest in map(json.loads, outcome.told)]

    def moments(self) -> list[int]:
        """After how many steps the power may go: all, but for those between two writes to one file."""
        return [
            moment
            for moment in range(len(self.steps) + 1)
            if not 0 < moment < len(self.steps)
            or self.steps[moment - 1].kind != "written"
            or self.steps[moment - 1].paths != self.steps[moment].paths
        ]

    def at(self, moment: int, sampled: int) -> Iterator[Run]:
        """Let the power go after so many steps; judge what there may be then, with `sampled` states in between."""
        folder = self._folder / str(moment)
        folder.mkdir()
        judge = self._judge.elsewhere(folder)
        point = " ".join(("-", "") if not moment else (self.steps[moment - 1].kind, self.steps[moment - 1].paths[-1]))
        for number in range(sampled + 2):
            # The first is the least, the second the most that is there.
            chance = random.Random(f"{self.operation.name} {moment} {number}")
            share = {0: 0.0, 1: 1.0}.get(number, chance.choice((0.2, 0.5, 0.8)))
            place = self._stores.begin(self.operation, folder / "place")
            _Disk(place.folder, self._saved, chance, share).replay(self.steps[:moment])
            verdict = judge.judge(place, None, Fault.POWER)
            if moment == len(self.steps) and not judge.is_after(place):
                verdict.complaints.append("it had ended, and what it did is lost")
            yield Run(self.operation.name, Fault.POWER, moment, f"{point} ({number})", verdict)
            shutil.rmtree(place.folder)
        shutil.rmtree(folder)


class _Disk:
    """A folder that is made what a disk holds when the power comes back."""

    def __init__(self, folder: Path, saved: Path, chance: random.Random, share: float) -> None:
        self._folder, self._saved, self._chance, self._share = folder, saved, chance, share

    def replay(self, steps: Sequence[Step]) -> None:
        """Do what is durable, and some of the rest."""
        contents = _Contents(steps)
        for position, (step, durable) in enumerate(zip(steps, _durable(steps), strict=True)):
            if step.kind in _NAMING and (durable or self._happens()):
                self._do(step, contents.of(position))
        self._put_catalogue(steps)

    def _happens(self) -> bool:
        return self._chance.random() < self._share

    def _do(self, step: Step, content: "tuple[str, bool] | None") -> None:
        first, last = self._folder / step.paths[0], self._folder / step.paths[-1]
        try:
            if step.kind == "create":
                last.write_bytes(self._content(content))
            elif step.kind == "mkdir":
                last.mkdir()
            elif step.kind == "link":
                os.link(first, last)
            elif step.kind == "unlink":
                last.unlink()
            elif step.kind == "rmdir":
                last.rmdir()
            elif step.kind == "rename":
                if first.is_file() and 0 < self._share < 1 and self._happens():
                    last.unlink(missing_ok=True)
                    os.link(first, last)  # and the old name is still there
                else:
                    os.rename(first, last)
        except OSError:
            pass  # it was about a name that did not come to be

    def _content(self, content: "tuple[str, bool] | None") -> bytes:
        if content is None:
            return b""
        saved, durable = content
        data = (self._saved / saved).read_bytes()
        if durable or self._share == 1:
            return data
        return data[: self._chance.choice((0, len(data) // 2, len(data)))] if self._share else b""

    def _put_catalogue(self, steps: Sequence[Step]) -> None:
        commits = [step for step in steps if step.kind == "commit"]
        last = max((number for number, step in enumerate(commits) if step.durable), default=-1)
        possible = [*commits[last:]] if last >= 0 else [None, *commits]
        chosen = possible[
            round((len(possible) - 1) * (self._share if self._share in (0, 1) else self._chance.random()))
        ]
        if chosen is None:
            return
        catalogue = self._folder / "store" / CATALOGUE
        catalogue.parent.mkdir(exist_ok=True)
        for path in catalogue.parent.glob(f"{CATALOGUE}*"):
            path.unlink()
        shutil.copyfile(self._saved / chosen.saved, catalogue)


class _Contents:
    """What the files that were created held, and whether it was synced, when the power went."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._of: dict[int, tuple[str, bool]] = {}
        names: dict[str, int] = {}
        for position, step in enumerate(steps):
            if step.kind == "create":
                names[step.paths[0]] = position
            elif step.kind in ("written", "fsync") and step.saved:
                if step.paths[0] in names:
                    self._of[names[step.paths[0]]] = (step.saved, step.kind == "fsync")
            elif step.kind in ("rename", "link"):
                old, new = step.paths
                for name, created in list(names.items()):
                    if name == old or name.startswith(f"{old}/"):
                        names[new + name[len(old) :]] = created

    def of(self, position: int) -> tuple[str, bool] | None:
        """What the file that a step created held."""
        return self._of.get(position)


def _durable(steps: Sequence[Step]) -> list[bool]:
    """Of each step, whether it is on the disk when all of them were taken."""
    durable = [step.kind in _NAMING and _is_synced(step, steps[position + 1 :]) for position, step in enumerate(steps)]
    for position in reversed(range(len(steps))):
        if durable[position] and steps[position].kind in ("rename", "link"):
            # What has a durable name is there, though the name that it had before never was.
            for earlier in reversed(range(position)):
                if steps[earlier].kind in _MAKING and steps[earlier].paths[-1] == steps[position].paths[0]:
                    durable[earlier] = True
                    break
    return durable


def _is_synced(step: Step, later: Sequence[Step]) -> bool:
    """Whether the folder of a name was synced after it was made, moved or taken away."""
    folder = os.path.dirname(step.paths[-1]) or "."
    moved = {folder}
    for each in later:
        if each.kind == "rename" and each.paths[0] in moved:
            moved.add(each.paths[1])
        if each.kind == "fsync" and each.paths[0] in moved and not each.saved:
            return True
    return False
