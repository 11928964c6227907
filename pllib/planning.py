"""Check a declaration, part by part, and make records of what is right in it.

The form of a declaration is docs/reference/declaration.md.  What is wrong is a problem, one line
with file and line or path; all else is kept.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from .documents import Document, Place
from .plans import PROPERTIES, SECTION, STAGES, TYPES
from .records import Declared, encode
from .values import LONG_BYTES, LONG_NAME, as_text, encode_one

LONG_TEXT = 2048
_ABOUT = ("description",)
_TEXTS = (str, int, float, datetime.date)


class Kind(NamedTuple):
    """What may be said of things of a kind: key in a document to the property's name."""

    kind: str
    properties: dict[str, str]


def _kind(kind: str, /, *same: str, **other: str) -> Kind:
    return Kind(kind, {**{name: name for name in (*_ABOUT, *same)}, **other})


THINGS = {
    "personas": _kind("persona", "role"),
    "stores": _kind("datastore", "location", kind="store_kind"),
    "schemas": _kind("schema", "fields"),
    "feature_sets": _kind("featureset", "features"),
    "datasets": _kind("dataset", "version", "split", "schema", "store", "feature_set"),
    "model_schemas": _kind("model_schema", "layers"),
    "prospections": _kind("prospection", schema="model_schema"),
    "tasks": _kind("task"),
    "algorithms": _kind("algorithm"),
    "implementations": _kind("implementation", "algorithm", "software"),
    "software": _kind("software", "version"),
    "evaluations": _kind("evaluation_specification", "procedure", "measures"),
}
"""Lists at the top of a document."""

MENTIONED = {"procedure": "evaluation_procedure", "measures": "measure", "features": "feature"}
"""Properties whose names are declared by being mentioned."""

OPEN_KINDS = {THINGS[name].kind for name in ("tasks", "algorithms", "implementations", "software")}
"""Kinds that may be mentioned without being listed, also where there is a list."""

ATTRIBUTE = _kind(
    "", "type", "unit", "required", "default", "schema", "store", "feature_set", "dataset"
)
DIRECTIONS = {
    "used": "in",
    "generated": "out",
    "hyperparameters": "hyperparameter",
    "model_hyperparameters": "model_hyperparameter",
}
STAGE = _kind(
    "", "task", "algorithm", "implementation", "software", "evaluation", "model_schema",
    "prospection", "persona",
)  # fmt: skip
PARTS = ("transformations", "stages")
FITTING: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "double": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
}
"""What a default may be, by the type of its attribute."""


Whole = tuple[str, str]
"""Workflow, and ``kind/name`` of a plan in it."""


class Plan(NamedTuple):
    """A plan that is being read: its workflow, and what parts of it name it by."""

    workflow: str
    within: str


class Checker:
    """Reads one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[tuple[str, ...], Declared] = {}
        self._places: dict[tuple[str, ...], Place] = {}
        self._said: dict[tuple[str, ...], bytes] = {}
        self._listed: dict[str, set[str]] = {}

    def check(self) -> list[Declared]:
        keys = ("study", "experiment", "workflow", "workflows", "description", *PARTS, *THINGS)
        top = self._mapping(self._document.content, (), keys)
        experiment = self._experiment(top)
        things = []
        for section, kind in THINGS.items():
            if section in top:
                items = [*self._items(top[section], (section,), names=True)]
                things += [(kind, item, place) for item, place in items]
                names = (item if isinstance(item, str) else item.get("name") for item, _ in items)
                self._listed[kind.kind] = {str(name) for name in names}
        for thing in things:
            self._thing(*thing)
        name = self._name(top["workflow"], ("workflow",)) if "workflow" in top else ""
        if name or (name is not None and any(part in top for part in PARTS)):
            self._workflow(top, (), name, experiment)
        for item, place in self._items(top.get("workflows"), ("workflows",)):
            given = self._mapping(item, place, ("name", "description", *PARTS))
            if (name := self._named(given, place)) is not None:
                self._workflow(given, place, name, experiment)
        self._refuse_cycles()
        return list(self._found.values())

    def _experiment(self, top: Mapping[str, Any]) -> str:
        """Declare study and experiment; return what a workflow is within."""
        study = self._about("study", top, "")
        experiment = self._about("experiment", top, study)
        return f"{quote(study, safe='')}/{quote(experiment, safe='')}" if experiment else ""

    def _about(self, kind: str, top: Mapping[str, Any], within: str) -> str:
        if kind not in top:
            return ""
        given = top[kind] if isinstance(top[kind], Mapping) else {"name": top[kind]}
        given = self._mapping(given, (kind,), ("name", *_ABOUT))
        name = self._named(given, (kind,))
        if name is not None:
            properties = self._properties(_kind(kind), given, (kind,))
            self._add(Declared(0, kind, name, "", within, properties), (kind,))
        return name or ""

    def _thing(self, kind: Kind, item: Any, place: Place) -> None:
        given = {"name": item} if isinstance(item, str) else item
        given = self._mapping(given, place, ("name", *kind.properties))
        if (name := self._named(given, place)) is not None:
            properties = self._properties(kind, given, place)
            self._add(Declared(0, kind.kind, name, properties=properties), place)

    def _workflow(self, given: Mapping[str, Any], place: Place, name: str, experiment: str) -> None:
        """Declare a workflow and its plans; one without a name is the session's own."""
        properties = self._properties(_kind("workflow"), given, place)
        self._add(Declared(0, "workflow", name, name, experiment, properties), place)
        self._parts(given, place, Plan(name, ""))

    def _parts(self, given: Mapping[str, Any], place: Place, whole: Plan) -> None:
        for item, inner in self._items(given.get("transformations"), (*place, PARTS[0])):
            self._transformation(item, inner, whole)
        for item, inner in self._items(given.get("stages"), (*place, PARTS[1])):
            self._stage(item, inner, whole)

    def _transformation(self, item: Any, place: Place, whole: Plan) -> None:
        keys = ("name", "used", "generated", PARTS[0], *_ABOUT)
        given = self._mapping(item, place, keys)
        if (name := self._named(given, place)) is None:
            return
        properties = self._properties(_kind("transformation"), given, place)
        self._plan("transformation", name, given, place, whole, properties)

    def _stage(self, item: Any, place: Place, whole: Plan) -> None:
        given = self._mapping(
            item, place, ("kind", "name", *DIRECTIONS, *STAGE.properties, *PARTS[:1], "sections")
        )
        kind = given.get("kind")
        if kind not in STAGES:
            what = f"no class of stage {kind!r}: one of {', '.join(STAGES)}"
            self._document.refuse((*place, "kind"), what)
            return
        name = self._named({"name": kind, **given}, place)
        if name is not None:
            self._plan(kind, name, given, place, whole, self._properties(STAGE, given, place))

    def _plan(
        self, kind: str, name: str, given: Mapping[str, Any], place: Place, whole: Plan,
        properties: bytes,
    ) -> None:  # fmt: skip
        self._add(Declared(0, kind, name, whole.workflow, whole.within, properties), place)
        mine = Plan(whole.workflow, f"{kind}/{name}")
        for key, direction in DIRECTIONS.items():
            self._attributes(direction, given.get(key, {}), (*place, key), mine)
        for item, inner in self._items(given.get("sections"), (*place, "sections"), names=True):
            self._section(item, inner, mine)
        self._parts({PARTS[0]: given.get(PARTS[0])}, place, mine)

    def _section(self, item: Any, place: Place, whole: Plan) -> None:
        given = {"kind": item} if isinstance(item, str) else item
        keys = ("kind", *DIRECTIONS, "sections", PARTS[0], *_ABOUT)
        given = self._mapping(given, place, keys)
        kind = self._name(given.get("kind"), (*place, "kind"))
        if kind is not None:
            properties = self._properties(_kind("section"), given, place)
            self._plan(f"{SECTION}{kind}", kind, given, place, whole, properties)

    def _attributes(self, direction: str, given: Any, place: Place, plan: Plan) -> None:
        if isinstance(given, list | tuple):
            given = dict.fromkeys(map(str, given), "any")
        for name, item in self._mapping(given, place, None).items():
            inner = (*place, name)
            about = item if isinstance(item, Mapping) else {"type": item}
            about = self._mapping(about, inner, ATTRIBUTE.properties)
            if self._name(name, inner) is not None and self._is_of_one_type(about, inner):
                properties = self._properties(ATTRIBUTE, about, inner)
                self._add(
                    Declared(0, direction, name, plan.workflow, plan.within, properties), inner
                )

    def _is_of_one_type(self, about: Mapping[str, Any], place: Place) -> bool:
        kind = about.get("type", "any")
        if not isinstance(kind, str) or kind not in TYPES:
            self._document.refuse(place, f"no type {kind!r}: one of {', '.join(TYPES)}")
            return False
        default = about.get("default")
        fitting = FITTING.get(kind)
        wrong = fitting is not None and (
            not isinstance(default, fitting) or (isinstance(default, bool) and kind != "boolean")
        )
        if default is not None and wrong:
            self._document.refuse(
                (*place, "default"), f"{default!r} is of another type than {kind}"
            )
            return False
        return True

    def _properties(self, kind: Kind, given: Mapping[str, Any], place: Place) -> bytes:
        """Return the properties that are right, encoded."""
        found = {}
        for key, name in kind.properties.items():
            if given.get(key) is None:
                continue
            value = self._property(name, given[key], (*place, key))
            if value is not None:
                found[name] = value
        return encode(found)

    def _property(self, name: str, value: Any, place: Place) -> Any:
        """Return the value of one property, None if it is not right."""
        target, many = PROPERTIES[name]
        if not target:
            return self._literal(name, value, place)
        names = value if many and isinstance(value, list | tuple) else [value]
        listed = None if target in OPEN_KINDS else self._listed.get(target)
        found = []
        for nth, given in enumerate(names):
            inner = (*place, nth) if names is value else place
            if (item := self._name(given, inner)) is None:
                continue
            if listed is not None and item not in listed:
                self._document.refuse(
                    inner, f"no {target} {item!r} is declared{_near(item, listed)}"
                )
                continue
            if name in MENTIONED:
                self._add(Declared(0, MENTIONED[name], item), inner)
            found.append(item)
        return (found if many else found[0]) if found else None

    def _literal(self, name: str, value: Any, place: Place) -> Any:
        if name == "fields":
            return self._fields(value, place)
        if name == "required" and not isinstance(value, bool):
            self._document.refuse(place, "true or false is expected")
            return None
        if name not in ("default", "layers", "required"):
            return self._text(value, place, LONG_TEXT)
        data = encode_one(value)
        if len(data) < LONG_BYTES and data[0] not in _EXTENSIONS:
            return msgspec.Raw(data)
        self._document.refuse(place, "too long, or no plain value")
        return None

    def _fields(self, value: Any, place: Place) -> dict[str, str]:
        found = {}
        for name, kind in self._mapping(value, place, None).items():
            if kind in TYPES:
                found[name] = kind
            else:
                self._document.refuse(
                    (*place, name), f"no type {kind!r}: one of {', '.join(TYPES)}"
                )
        return found

    def _add(self, declared: Declared, place: Place) -> None:
        """Keep a record; the same thing may be declared again if it says the same."""
        thing = (declared.kind, declared.name, declared.workflow)
        key = (*thing, declared.within)
        said = self._said.setdefault(
            key if declared.kind in DIRECTIONS.values() else thing, declared.properties
        )
        if said != declared.properties:
            types = {
                msgspec.msgpack.decode(data).get("type") for data in (said, declared.properties)
            }
            how = f", as {' and '.join(map(str, types))}" if len(types) > 1 else ""
            what = f"{declared.kind} {declared.name!r} is declared twice, differently{how}"
            self._document.refuse(place, f"{what}: the first is kept")
        elif key not in self._found:
            self._found[key] = declared
            self._places[key] = place

    def _refuse_cycles(self) -> None:
        """Refuse plans that are a part of themselves."""
        wholes: dict[Whole, set[Whole]] = {}
        for plan in self._found.values():
            if plan.kind not in DIRECTIONS.values() and plan.within:
                whole = wholes.setdefault((plan.workflow, f"{plan.kind}/{plan.name}"), set())
                whole.add((plan.workflow, plan.within))
        for key, plan in reversed([*self._found.items()]):
            here = (plan.workflow, f"{plan.kind}/{plan.name}")
            if plan.within and here in _above(wholes, here):
                self._document.refuse(self._places[key], f"{plan.name!r} is its own part")
                del self._found[key]
                wholes[here].discard((plan.workflow, plan.within))

    def _items(
        self, value: Any, place: Place, *, names: bool = False
    ) -> Iterator[tuple[Any, Place]]:
        """Yield the mappings of a list, and where each is; names too if they will do."""
        if not isinstance(value, list | tuple):
            if value is not None:
                self._document.refuse(place, "a list is expected")
            return
        for nth, item in enumerate(value):
            if isinstance(item, Mapping) or (names and isinstance(item, str)):
                yield item, (*place, nth)
            else:
                what = f"a mapping is expected, not a {type(item).__name__}"
                self._document.refuse((*place, nth), what)

    def _mapping(self, value: Any, place: Place, keys: Iterable[str] | None) -> dict[str, Any]:
        """Return what a mapping has under known keys; all of it if any key will do."""
        if not isinstance(value, Mapping):
            if value is not None:
                self._document.refuse(place, f"a mapping is expected, not a {type(value).__name__}")
            return {}
        found = {str(key): item for key, item in value.items()}
        for key in list(found) if keys is not None else ():
            if keys is not None and key not in keys:
                what = f"no key {key!r} here{_near(key, keys)}: one of {', '.join(keys)}"
                self._document.refuse((*place, key), what)
                del found[key]
        return found

    def _named(self, given: Mapping[str, Any], place: Place) -> str | None:
        if "name" not in given:
            self._document.refuse(place, "a name is missing")
            return None
        return self._name(given["name"], (*place, "name"))

    def _name(self, value: Any, place: Place) -> str | None:
        return self._text(value, place, LONG_NAME, "a name")

    def _text(self, value: Any, place: Place, longest: int, what: str = "a text") -> str | None:
        if isinstance(value, bool) or not isinstance(value, _TEXTS):
            self._document.refuse(place, f"{what} is expected, not {value!r:.60}")
            return None
        text = as_text(value, longest + 1)
        if 0 < len(text) <= longest:
            return text
        self._document.refuse(place, f"{what} has 1 to {longest:,} characters")
        return None


def _above(wholes: dict[Whole, set[Whole]], part: Whole) -> set[Whole]:
    """Return all that a plan is a part of."""
    found: set[Whole] = set()
    left = list(wholes.get(part, ()))
    while left:
        if (whole := left.pop()) not in found:
            found.add(whole)
            left.extend(wholes.get(whole, ()))
    return found


_EXTENSIONS = frozenset({0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)})
"""First bytes of msgpack's extension types: what a value that is described begins with."""


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
