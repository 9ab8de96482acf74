"""`like: OTHER`: an entry says what differs from another one, and is made whole before it is checked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rsae.config.types import near

RUN = ("hosts", "teachers")  # the names that are run: who says some of them says all of them


class Place(NamedTuple):
    """Where something stands in a file."""

    file: Path
    keys: tuple[str, ...] = ()

    def at(self, key: object) -> "Place":
        """Of a key below."""
        return Place(self.file, (*self.keys, str(key)))

    def mistake(self, said: str) -> ValueError:
        """What is wrong with it, as an error to raise."""
        return ValueError(f"{self.file}: `{'.'.join(self.keys)}`: {said}")


class Likes:
    """Entries of one mapping, each made whole once, after the one that it is like.

    ``finish`` completes what stands below an entry. ``elsewhere`` has whole entries of other mappings, by names that
    are none of these, and raises for one that it does not know; such mappings share ``waiting``, where each entry that
    is begun waits for the next.

    Raises:
        ValueError: there is no such entry, `like` leads in a circle, or `null` takes nothing away.
    """

    def __init__(
        self,
        what: str,
        entries: Mapping[str, Any],
        place: Callable[[str], Place],
        finish: Callable[[Place, Any], Any] = lambda _, entry: entry,
        elsewhere: Callable[[str, Place], Any] | None = None,
        waiting: dict[str, Place] | None = None,
    ) -> None:
        self.what, self.entries, self.place, self.finish = what, entries, place, finish
        self.elsewhere = elsewhere or self._unknown
        self.waiting = {} if waiting is None else waiting
        self.done: dict[str, Any] = {}

    def whole(self, name: str) -> Any:
        """The entry of that name."""
        if name in self.waiting:
            names = [*self.waiting]
            circle = ", ".join([*names[names.index(name) :], name])
            raise self.waiting[names[-1]].at("like").mistake(f"a circle of {self.what}s: {circle}")
        if name not in self.done:
            place = self.waiting[name] = self.place(name)
            try:
                self.done[name] = self.finish(place, self._on_other(self.entries[name], place))
            finally:  # a mistake in this entry is no circle of the next one that asks for it
                del self.waiting[name]
        return self.done[name]

    def all(self) -> dict[str, Any]:
        """Every entry, in their order."""
        return {name: self.whole(name) for name in self.entries}

    def _on_other(self, entry: Any, place: Place) -> Any:
        if not isinstance(entry, dict) or "like" not in entry:
            return entry
        other, differs = entry["like"], {key: value for key, value in entry.items() if key != "like"}
        known = isinstance(other, str) and other in self.entries
        base = self.whole(other) if known else self.elsewhere(str(other), place.at("like"))
        return merged(base, differs, place) if isinstance(base, dict) else entry

    def _unknown(self, other: str, place: Place) -> Any:
        raise unknown(self.what, other, self.entries, place)


def unknown(what: str, name: str, known: Mapping[Any, Any], place: Place) -> ValueError:
    """That there is no such thing, with the nearest that there is."""
    return place.mistake(f"no {what} {name!r}{near(name, map(str, known))}")


def merged(base: Mapping[Any, Any], differs: Mapping[Any, Any], place: Place) -> dict[Any, Any]:
    """``differs`` on top of ``base``: mappings key by key, all else in the other's stead; `null` takes a key away."""
    made = dict(base)
    for key, value in differs.items():
        below = made.get(key)
        if value is None and key not in made:
            raise place.at(key).mistake(f"null, and there is no such key to take away{near(str(key), map(str, base))}")
        if value is None:
            del made[key]
        elif isinstance(value, dict) and isinstance(below, dict) and key not in RUN:
            made[key] = merged(below, value, place.at(key))
        else:
            made[key] = value
    return made
