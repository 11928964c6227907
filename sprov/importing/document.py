"""PROV-JSON and PROV-N, read by `prov`, as triples of PROV-O.

A document that `sprov export` wrote says all classes itself (`terms.WHOLE`).  Of any other,
elements get the class that they are, and a relation with an identifier, a time, a role or other
attributes becomes a qualified influence.
"""

from __future__ import annotations

import datetime
import json
import logging
import warnings
from collections.abc import Iterator

import pyoxigraph as ox
from prov import Error as ProvError
from prov import constants as c
from prov.identifier import Identifier, QualifiedName
from prov.model import (
    Literal,
    ProvBundle,
    ProvDocument,
    ProvRecord,
    canonical_xsd_datatype,
)

from manager.vocabulary import PREFIXES
from pllib import identity
from pllib.moments import written
from query.export.terms import (
    ATTRIBUTES,
    ELEMENTS,
    FORMAL,
    IMPLIED,
    INFLUENCE,
    PROV,
    RELATIONS,
    STATEMENT,
    WHOLE,
)

from .statements import ImportRefusedError, Statement, Statements

_BY_RECORD = {relation.record: (name, relation) for name, relation in RELATIONS.items()}
_SUBTYPES = {
    PROV + "Revision": "wasRevisionOf",
    PROV + "Quotation": "wasQuotedFrom",
    PROV + "PrimarySource": "hadPrimarySource",
}
"""Classes of a derivation that PROV-O has properties of their own for."""
_DOUBLES = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
_TIMES = {c.PROV_ATTR_STARTTIME: "startedAtTime", c.PROV_ATTR_ENDTIME: "endedAtTime"}
_TYPE = ox.NamedNode(PREFIXES["rdf"] + "type")


def read_document(data: bytes, form: str, into: Statements) -> None:
    """Read a PROV document.

    Args:
        form: ``json`` or ``provn``.

    Raises:
        ImportRefusedError: It is none.
    """
    document = _parsed(data, form, into.source)
    records = list(document.get_records())
    bundles = list(document.bundles)
    for bundle in bundles:
        records.extend(bundle.get_records())
    marks = [record for record in records if _is_mark(record)]
    reading = _Reading(into, whole=bool(marks))
    for record in records:
        if record not in marks:
            reading.record(record)
    for bundle in bundles:
        reading.bundle(bundle)


def _parsed(data: bytes, form: str, source: str) -> ProvDocument:
    logging.getLogger("prov").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = data.decode("utf-8-sig")
            if form == "json":
                _check_json(text)
            return ProvDocument.deserialize(content=text, format=form)
        except json.JSONDecodeError as exc:
            where, reason = f"{source}, line {exc.lineno}", f"not JSON: {exc.msg}"
        except UnicodeDecodeError as exc:
            where, reason = source, f"not UTF-8 at byte {exc.start}"
        except RecursionError:
            where, reason = source, "nested too deep"
        except ProvError as exc:
            where, reason = source, f"not a PROV document: {_first_line(exc)}"
        except (TypeError, ValueError, AttributeError, KeyError, IndexError) as exc:
            # `prov` 3.2.3 meets JSON of another shape with these.
            where, reason = source, f"not a PROV document: {type(exc).__name__}: {_first_line(exc)}"
    raise ImportRefusedError(f"{where}: {reason}")


def _check_json(text: str) -> None:
    """Refuse JSON that is no PROV-JSON before `prov` takes it for an empty document."""
    found = json.loads(text)
    if not isinstance(found, dict) or not found:
        raise ValueError("a PROV-JSON document is an object with records")


def _first_line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300]


def _is_mark(record: ProvRecord) -> bool:
    return record.is_element() and any(
        isinstance(kind, Identifier) and kind.uri == WHOLE for kind in record.get_asserted_types()
    )


class _Reading:
    def __init__(self, into: Statements, *, whole: bool) -> None:
        self._into = into
        self._whole = whole

    def record(self, record: ProvRecord) -> None:
        """Add a record's triples, or refuse it as a whole."""
        try:
            found = list(self._element(record) if record.is_element() else self._relation(record))
        except (ValueError, TypeError, SyntaxError) as exc:
            name = record.identifier or record.get_type()
            self._into.refuse(str(name), f"no valid RDF: {_first_line(exc)}")
        else:
            self._into.said.extend(found)

    def bundle(self, bundle: ProvBundle) -> None:
        """Say that there is a bundle; what it has is taken in with all else."""
        try:
            node = ox.NamedNode(bundle.identifier.uri if bundle.identifier else "")
        except ValueError as exc:
            self._into.refuse(str(bundle.identifier), f"no valid IRI: {_first_line(exc)}")
        else:
            self._into.said.append(_say(node, _TYPE, _prov("Bundle")))

    def _element(self, record: ProvRecord) -> Iterator[Statement]:
        assert record.identifier is not None
        node = ox.NamedNode(record.identifier.uri)
        if not self._whole:
            yield _say(node, _TYPE, _prov(ELEMENTS[record.get_type()]))
        for attribute, value in record.formal_attributes:
            if value is not None:
                yield _say(node, _prov(_TIMES[attribute]), _term(value))
        yield from _extra(node, record)

    def _relation(self, record: ProvRecord) -> Iterator[Statement]:
        if record.get_type() not in _BY_RECORD:
            raise ValueError(f"{record.get_type()} is not taken in")
        name, relation = _BY_RECORD[record.get_type()]
        formal = {key: value for key, value in record.formal_attributes if value is not None}
        ends = formal.pop(relation.subject, None), formal.pop(relation.object, None)
        if ends[0] is None:
            raise ValueError(f"no {relation.subject}")
        subject = ox.NamedNode(ends[0].uri)
        flags = {key.uri: value for key, value in record.extra_attributes}
        if ends[1] is not None and IMPLIED not in flags:
            predicate = _subproperty(name, record)
            yield _say(subject, _prov(predicate), ox.NamedNode(ends[1].uri))
        node = self._influence(record, formal, flags)
        if node is None or not relation.qualified:
            return
        yield _say(subject, _prov(relation.qualified), node)
        yield _say(node, _TYPE, _prov(relation.influence))
        if ends[1] is not None:
            yield _say(node, _prov(relation.influencer), ox.NamedNode(ends[1].uri))
        for attribute, value in formal.items():
            yield _say(node, _prov(FORMAL[attribute]), _term(value))
        yield from _extra(node, record)

    def _influence(
        self, record: ProvRecord, formal: dict[QualifiedName, object], flags: dict[str, object]
    ) -> ox.NamedNode | None:
        """Return the influence that a relation is qualified by; None if nothing is said of it."""
        shared = flags.get(INFLUENCE)
        if isinstance(shared, Identifier):
            return ox.NamedNode(shared.uri)
        if record.identifier is not None:
            return ox.NamedNode(record.identifier.uri)
        if not formal and not set(flags) - {IMPLIED, INFLUENCE}:
            return None
        said = sorted(f"{key.uri} {value!r}" for key, value in record.attributes)
        name = identity.digest("influence", record.get_type().uri, *said)
        return ox.NamedNode(identity.iri("influence", name))


def _subproperty(name: str, record: ProvRecord) -> str:
    if name == "wasDerivedFrom":
        for kind in record.get_asserted_types():
            if isinstance(kind, Identifier) and kind.uri in _SUBTYPES:
                return _SUBTYPES[kind.uri]
    return name


def _extra(node: ox.NamedNode, record: ProvRecord) -> Iterator[Statement]:
    for attribute, value in record.extra_attributes:
        if attribute.uri == STATEMENT:
            yield from _statement(node, value)
        elif attribute.uri not in (IMPLIED, INFLUENCE):
            predicate = ATTRIBUTES.get(attribute, attribute.uri)
            yield _say(node, ox.NamedNode(predicate), _term(value))


def _statement(node: ox.NamedNode, value: object) -> Iterator[Statement]:
    line = f"{node} {value} ."
    for quad in ox.parse(input=line, format=ox.RdfFormat.N_TRIPLES):
        if quad.subject == node:
            yield Statement(node.value, quad.predicate.value, _rdf(quad.object))


def _term(value: object) -> ox.NamedNode | ox.Literal:
    """Return a value as RDF.

    Raises:
        ValueError: It is none: an IRI that is not valid, or half a surrogate pair.
    """
    if isinstance(value, QualifiedName):
        return ox.NamedNode(value.uri)
    if isinstance(value, Identifier):
        return _typed(value.uri, "anyURI")
    if isinstance(value, Literal):
        if value.langtag:
            return ox.Literal(value.value, language=value.langtag)
        datatype = value.datatype
        return ox.Literal(value.value, datatype=ox.NamedNode(datatype.uri) if datatype else None)
    if isinstance(value, bool):
        return _typed("true" if value else "false", "boolean")
    if isinstance(value, datetime.datetime):
        return _typed(written(value), "dateTime")
    if isinstance(value, float):
        return _typed(_DOUBLES.get(repr(value), repr(value)), "double")
    if isinstance(value, int):
        datatype = canonical_xsd_datatype(value)
        return _typed(str(value), datatype.localpart if datatype else "integer")
    return ox.Literal(str(value))


def _typed(text: str, local: str) -> ox.Literal:
    return ox.Literal(text, datatype=ox.NamedNode(PREFIXES["xsd"] + local))


def _prov(local: str) -> ox.NamedNode:
    return ox.NamedNode(PROV + local)


def _say(
    subject: ox.NamedNode, predicate: ox.NamedNode, obj: ox.NamedNode | ox.Literal
) -> Statement:
    return Statement(subject.value, predicate.value, obj)


def _rdf(term: object) -> ox.NamedNode | ox.Literal:
    """Check that a term is no blank node.

    Raises:
        ValueError: It is.
    """
    if not isinstance(term, ox.NamedNode | ox.Literal):
        raise ValueError("a blank node in a statement")
    return term
