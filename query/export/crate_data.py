"""What actions of an RO-Crate use and make: files, data sets, values, resources."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

from pllib.moments import nanoseconds

from .graph import Graph, iri
from .units import Unit

Entity = dict[str, Any]

MAX_VALUES = 1_000
"""Plain values that one action names in the metadata; the graph has all."""

_RESOURCE = re.compile(r"memory|rss|\bmem|cpu|disk|gpu|power|energy")
"""Names of series and facts that are about resources."""

_QUDT = "https://qudt.org/vocab/unit/"
_UNITS = {
    "B": "BYTE", "bytes": "BYTE", "kB": "KiloBYTE", "KB": "KiloBYTE", "MB": "MegaBYTE",
    "GB": "GigaBYTE", "KiB": "KibiBYTE", "MiB": "MebiBYTE", "GiB": "GibiBYTE",
    "s": "SEC", "seconds": "SEC", "ms": "MilliSEC", "h": "HR", "J": "J", "joules": "J", "W": "W",
    "%": "PERCENT",
}  # fmt: skip
"""Units as programs write them, and their names in QUDT, from which the profile takes its codes."""

_NOT_IN_NAMES = '\\/:*?"<>|'
_FILES = {iri("sprov:File"), iri("provml:Model"), iri("provml:DataReference")}
_FOLDER = iri("sprov:Directory")
_DATASETS = {iri("provml:LearningDataSetReference"), iri("provml:FeatureSetData")}
_KINDS = ("provml:Checkpoint", "provml:Model", "provml:DataReference")


def member(name: str) -> str:
    """Return the name of a file as a crate has it: any file system takes it, no terminal obeys."""
    return "".join(
        char if char.isprintable() and char not in _NOT_IN_NAMES else "_" for char in name
    )


class Data:
    """Entities that were asked for, each once."""

    def __init__(self, graph: Graph, crate: ROCrate, *, with_files: bool) -> None:
        self._graph = graph
        self._crate = crate
        self._with_files = with_files
        self._known: dict[str, Entity] = {}
        self._ids: dict[str, str] = {}
        self._examples: dict[str, list[str]] = {}

    def entities(self) -> Iterator[Entity]:
        return iter(self._known.values())

    def examples(self, attribute: str) -> list[Entity]:
        """Return what was used or generated as an attribute."""
        return [{"@id": name} for name in sorted(set(self._examples.get(attribute, [])))]

    def is_file(self, entity: str) -> bool:
        return bool(self._graph.types(entity) & (_FILES | {_FOLDER} | _DATASETS))

    def references(self, entities: Mapping[str, Iterable[str]]) -> tuple[list[Entity], int]:
        """Return references to entities, in order, and how many values are over the limit."""
        files = sorted(entity for entity in entities if self.is_file(entity))
        values = sorted(entity for entity in entities if not self.is_file(entity))
        kept = [*files, *values[:MAX_VALUES]]
        found = [{"@id": self._entity(entity, sorted(entities[entity]))} for entity in kept]
        return found, max(0, len(values) - MAX_VALUES)

    def _entity(self, entity: str, attributes: list[str]) -> str:
        identifier = self._ids.get(entity)
        if identifier is None:
            types = self._graph.types(entity)
            if types & _DATASETS:
                identifier = self._dataset(entity)
            elif self.is_file(entity):
                identifier = self._file(entity, types)
            else:
                identifier = self._value(entity)
            self._ids[entity] = identifier
        for attribute in attributes:
            self._exemplify(identifier, attribute)
        return identifier

    def _exemplify(self, identifier: str, attribute: str) -> None:
        self._examples.setdefault(attribute, []).append(identifier)
        known = self._known.get(identifier) or self._crate.get(identifier).properties()
        parameters = known.setdefault("exampleOfWork", [])
        if {"@id": attribute} not in parameters:
            parameters.append({"@id": attribute})

    def _file(self, entity: str, types: set[str]) -> str:
        graph = self._graph
        path = graph.text(entity, "sprov:path")
        kinds = [iri(kind) for kind in _KINDS if iri(kind) in types]
        properties: Entity = {
            "name": graph.text(entity, "rdfs:label", path or entity),
            "localPath": path,
            "contentSize": graph.text(entity, "sprov:size"),
            "dateModified": graph.text(entity, "sprov:modified"),
            "encodingFormat": mimetypes.guess_type(path)[0] or "application/octet-stream",
            "identifier": self._digests(entity),
            "sameAs": {"@id": entity},
            "additionalType": [{"@id": kind} for kind in kinds],
        }
        said = {name: value for name, value in properties.items() if value not in ("", [])}
        copied = self._copy(entity, said) if self._with_files else None
        if copied is not None:
            return copied
        identifier = f"#{'/'.join(entity.split('/')[-2:])}"
        kind = "Dataset" if _FOLDER in types else "File"
        self._known[identifier] = {"@id": identifier, "@type": kind, **said}
        return identifier

    def _digests(self, entity: str) -> list[str]:
        return [
            digest
            for content in self._graph.texts(entity, "prov:specializationOf")
            for digest in self._graph.texts(content, "sprov:digest")
        ]

    def _copy(self, entity: str, properties: Entity) -> str | None:
        """Copy a file into the crate, if it is still the version that the run saw."""
        path = Path(properties.get("localPath", ""))
        if _FOLDER in self._graph.types(entity) or not _is_unchanged(path, properties):
            return None
        digest = entity.rpartition("/")[2]
        name = f"files/{digest[:12]}/{member(path.name)}"
        return str(self._crate.add_file(str(path), name, properties=properties).id)

    def _dataset(self, entity: str) -> str:
        graph = self._graph
        members = [self._entity(member, []) for member in graph.texts(entity, "prov:hadMember")]
        details = [graph.text(entity, f"sprov:{name}") for name in ("version", "split")]
        label = graph.text(entity, "rdfs:label", "data set")
        said: Entity = {
            "name": " ".join([label, *filter(None, details)]),
            "hasPart": [{"@id": member} for member in members],
        }
        if members:
            said["mainEntity"] = {"@id": members[0]}
        self._known[entity] = {"@id": entity, "@type": "Collection", **said}
        return entity

    def _value(self, entity: str) -> str:
        graph = self._graph
        attribute = graph.text(entity, "provml:ofAttribute")
        self._known[entity] = {
            "@id": entity,
            "@type": "PropertyValue",
            "name": graph.text(attribute, "rdfs:label", "value"),
            "value": graph.text(entity, "prov:value"),
        }
        if unit := graph.text(attribute, "sprov:unit"):
            self._known[entity]["unitText"] = unit
        return entity

    def resources(self, facts: Mapping[str, str]) -> list[Entity]:
        """Return what the run used of resources: series' peaks over ranks, and numbers in facts."""
        graph = self._graph
        found = {name: text for name, text in facts.items() if text[:1].isdigit()}
        units = {name: name.rpartition("_")[2] for name in found}
        peaks: dict[str, float] = {}
        for series in graph.instances("sprov:Series"):
            for most in graph.texts(series, "sprov:most"):
                name = graph.text(series, "rdfs:label")
                peaks[name] = max(float(most), peaks.get(name, float("-inf")))
                units[f"peak {name}"] = graph.text(series, "sprov:unit")
        found.update((f"peak {name}", f"{value:.15g}") for name, value in peaks.items())
        return [
            self._usage(
                f"#usage/{quote(name)}",
                name,
                value,
                f"{iri('sprov:fact')}/{quote(name)}",
                units.get(name, ""),
            )
            for name, value in sorted(found.items())
            if _RESOURCE.search(name.lower())
        ]

    def variable(self, name: str, value: str) -> Entity:
        """Return a reference to something of the run's surroundings, as a fact tells it."""
        identifier = f"#environment/{quote(name)}"
        self._known[identifier] = {
            "@id": identifier, "@type": "PropertyValue", "name": name, "value": value,
        }  # fmt: skip
        return {"@id": identifier}

    def disk(self, unit: Unit) -> list[Entity]:
        """Return what a unit read and wrote of files that it named, in bytes."""
        found = []
        for name, entities in (("read", unit.used), ("written", unit.generated)):
            sizes = [self._graph.text(entity, "sprov:size") for entity in entities]
            total = sum(int(size) for size in sizes if size.isdigit())
            if total:
                identifier = f"#usage/{'-'.join(unit.id.split('/')[-2:])}-{name}"
                label = f"bytes {name}"
                found.append(
                    self._usage(
                        identifier, label, str(total), iri(f"sprov:bytes{name.title()}"), "B"
                    )
                )
        return found

    def _usage(self, identifier: str, name: str, value: str, property_id: str, unit: str) -> Entity:
        self._known[identifier] = {
            "@id": identifier,
            "@type": "PropertyValue",
            "name": name,
            "value": value,
            "propertyID": property_id,
        }
        if unit in _UNITS:
            self._known[identifier]["unitCode"] = _QUDT + _UNITS[unit]
        return {"@id": identifier}


def _is_unchanged(path: Path, properties: Mapping[str, Any]) -> bool:
    """Tell whether a file has the size and the time, to the microsecond, that the run saw."""
    try:
        found = path.stat()
        seen_ns = nanoseconds(properties["dateModified"])
    except (OSError, ValueError, KeyError):
        return False
    same_time = abs(seen_ns - found.st_mtime_ns) < 10_000
    return path.is_file() and same_time and str(found.st_size) == properties.get("contentSize")
