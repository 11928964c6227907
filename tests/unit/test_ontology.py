"""Vocabulary, conformance table and code say the same: no term is in one of them alone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pyshacl
import pytest
from rdflib import DCTERMS, OWL, RDF, RDFS, SH, Graph, URIRef
from rdflib.term import Node

from manager.ontology import NAMES, turtle
from manager.store.inference import superclasses
from manager.vocabulary import PREFIXES
from pllib import plans, records
from query.forms import READ_WHOLE
from query.named import FOLDER
from query.rules import completed

ROOT = Path(__file__).parents[2]
CODE = [
    ROOT / "manager/vocabulary.py",
    ROOT / "manager/mapping.py",
    *ROOT.glob("manager/store/*.py"),
    *ROOT.glob("query/**/*.py"),
    *ROOT.glob("sprov/importing/*.py"),
    *ROOT.glob("query/**/*.rq"),
    *ROOT.glob("query/**/*.sparql"),
]
OWN = ("provml", "sprov")
TERM = re.compile(r"\b(provml|sprov):([A-Za-z]\w*)\b(?![({\\])")
"""``sprov:seconds(`` is no term but a function that `query.answers` writes out."""
KEYWORD = re.compile(r"\b(provml|sprov)_([A-Za-z]\w*)=")
"""How `manager.mapping` writes a predicate."""
SUPPORTED = {
    "property", "message", "targetClass", "targetSubjectsOf", "path", "minCount", "maxCount",
    "class", "datatype", "nodeKind", "minInclusive", "in", "hasValue", "or", "xone", "not",
    "qualifiedValueShape", "qualifiedMinCount", "qualifiedMaxCount",
}  # fmt: skip
"""What of SHACL depends on a node's form (`query.forms`) alone."""


@cache
def graph(name: str) -> Graph:
    return Graph().parse(data=turtle(name), format="turtle")


def prefixed(node: Node) -> str:
    for prefix in OWN:
        if str(node).startswith(PREFIXES[prefix]):
            return f"{prefix}:{str(node).removeprefix(PREFIXES[prefix])}"
    return str(node)


def iri(term: str) -> URIRef:
    prefix, _, local = term.partition(":")
    return URIRef(PREFIXES[prefix] + local)


@cache
def declared() -> dict[str, Graph]:
    """Each term, with the ontology that it is in."""
    return {
        prefixed(term): graph(name)
        for name in ("prov-ml", "sprov")
        for term in graph(name).subjects(RDFS.isDefinedBy)
    }


@cache
def used() -> dict[str, list[str]]:
    """Each term that code and queries name, with the files that do."""
    found: dict[str, list[str]] = {}
    for path in CODE:
        text = path.read_text()
        names = TERM.findall(text) + (KEYWORD.findall(text) if path.suffix == ".py" else [])
        for prefix, local in names:
            found.setdefault(f"{prefix}:{local}", []).append(path.name)
    return found


@cache
def rows() -> dict[str, list[str]]:
    """Rows of the conformance table: term to its other cells."""
    page = (ROOT / "docs/reference/conformance.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    cells = {line[0].strip("`"): line[1:] for line in lines}
    return {term: others for term, others in cells.items() if TERM.fullmatch(term)}


@pytest.mark.parametrize("name", NAMES)
def test_an_ontology_has_a_title_a_version_and_a_license(name: str):
    (ontology,) = graph(name).subjects(RDF.type, OWL.Ontology)
    for predicate in (DCTERMS.title, DCTERMS.license, DCTERMS.source, OWL.versionInfo):
        assert graph(name).value(ontology, predicate, any=True) is not None, predicate


def test_every_term_says_what_it_is_and_where_it_is_from():
    assert len(declared()) > 120
    for term, ontology in declared().items():
        subject = iri(term)
        for predicate in (RDF.type, RDFS.label, RDFS.comment, DCTERMS.source, RDFS.isDefinedBy):
            values = set(ontology.objects(subject, predicate))
            assert len(values) == 1, (term, predicate)
        assert str(ontology.value(subject, RDFS.comment)).endswith("."), term


PAPERS = {
    "https://arxiv.org/abs/1910.04223": {
        "Study", "LearningExperiment", "FeatureExtraction", "BaseLearningStage", "LearningStage",
        "Training", "Validation", "Evaluation", "LearningStageSection", "LearningTask", "Algorithm",
        "Implementation", "Software", "LearningHyperparameter", "ModelHyperparameter",
        "FeatureSet", "Feature", "LearningDataSetReference", "DatasetCharacteristic",
        "ModelSchema", "ModelProspection", "EvaluationSpecification", "EvaluationProcedure",
        "EvaluationMeasure", "Persona", "LearningExperimentExecution", "FeatureExtractionExecution",
        "BaseLearningStageExecution", "LearningStageExecution", "TrainingExecution",
        "ValidationExecution", "EvaluationExecution", "LearningStageSectionExecution",
        "LearningHyperparameterValue", "ModelHyperparameterValue", "FeatureSetData", "Model",
        "ModelEvaluation",
    },
    "https://arxiv.org/abs/2010.00330": {
        "Workflow", "DataTransformation", "Attribute", "DataSchema", "DataStore",
        "WorkflowExecution", "DataTransformationExecution", "AttributeValue", "DataReference",
    },
}  # fmt: skip
"""The classes of PROV-ML's figure and class table, and of the ProvLake model under it."""


def test_terms_that_name_a_paper_as_their_source_are_in_it():
    """Neither paper names a property: theirs are this project's, and say so."""
    claimed: dict[str, set[str]] = {paper: set() for paper in PAPERS}
    for term, ontology in declared().items():
        source = str(ontology.value(iri(term), DCTERMS.source))
        assert source in PAPERS or "arxiv.org" not in source, term
        if source in PAPERS:
            claimed[source].add(term.partition(":")[2])
    assert claimed == PAPERS


def test_ontologies_speak_of_declared_terms_alone():
    n_checked = 0
    for name in NAMES:
        for triple in graph(name):
            for node in triple:
                term = prefixed(node)
                if isinstance(node, URIRef) and TERM.fullmatch(term):
                    assert term in declared(), (name, term)
                    n_checked += 1
    assert n_checked > 500


def test_every_class_is_something_in_prov():
    kinds, n_classes = {"prov:Entity", "prov:Activity", "prov:Agent"}, 0
    for term, ontology in declared().items():
        if (iri(term), RDF.type, OWL.Class) in ontology:
            above = superclasses()[str(iri(term))]
            found = [kind for kind in kinds if str(iri(kind)) in above]
            assert len(found) == 1, (term, found)
            n_classes += 1
    assert n_classes > 20


def test_what_code_and_queries_name_is_declared():
    assert len(used()) > 100
    unknown = {term: files for term, files in used().items() if term not in declared()}
    assert unknown == {}


def test_every_term_has_a_row_and_every_row_a_term():
    assert sorted(rows()) == sorted(declared())


def test_the_table_says_which_terms_are_stored():
    """The others are added at export, or are for what others' graphs say."""
    texts = [path.read_text() for path in ROOT.glob("manager/*.py")]
    stored = {f"{p}:{t}" for text in texts for p, t in TERM.findall(text) + KEYWORD.findall(text)}
    for term, (_, _, in_rdf, _) in rows().items():
        assert ("stored" in in_rdf) == (term in stored), term


def test_a_query_that_the_table_names_is_there_and_asks_for_the_term():
    n_named = 0
    for term, cells in rows().items():
        for name in re.findall(r"`([\w-]+)`", cells[-1]):
            text = (FOLDER / f"{name}.rq").read_text()
            for shared in re.findall(r"#\s*sparql:\s*(\S+)", text):
                text += (FOLDER / shared).read_text()
            assert re.search(rf"{term}\b", text), (term, name)
            n_named += 1
    assert n_named > 100


def test_what_the_table_says_of_the_wire_is_there():
    kinds = {*plans.PLANS, *plans.THINGS, *plans.ATTRIBUTES, *plans.PROPERTIES, plans.SECTION}
    n_checked = 0
    for term, (_, wire, _, _) in rows().items():
        for name, attribute in re.findall(r"`([A-Z]\w+)(?:\.(\w+))?`", wire):
            fields = getattr(records, name).__struct_fields__
            assert not attribute or attribute in fields, (term, name, attribute)
            n_checked += 1
        for words in re.findall(r"`Declared` ([\w:, ]+)", wire):
            assert set(words.split(", ")) <= kinds, (term, words)
    assert n_checked > 100


def test_shapes_are_valid_shacl_and_say_what_is_wrong_in_one_line():
    shapes = graph("shapes")
    assert pyshacl.validate(Graph(), shacl_graph=shapes, meta_shacl=True)[0]
    for shape in {*shapes.subjects(SH.targetClass), *shapes.subjects(SH.targetSubjectsOf)}:
        constrained = set(shapes.predicates(shape)) - {
            RDF.type, SH.property, SH.message, SH.targetClass, SH.targetSubjectsOf
        }  # fmt: skip
        told = [shape] if constrained else []
        for subject in (*told, *shapes.objects(shape, SH.property)):
            (message,) = shapes.objects(subject, SH.message)
            assert "\n" not in str(message)


def test_shapes_ask_for_nothing_that_a_form_does_not_tell():
    shapes = graph("shapes")
    terms = {str(p).removeprefix(str(SH)) for p in shapes.predicates() if p.startswith(str(SH))}
    assert terms <= SUPPORTED
    for bound in (SH.maxCount, SH.qualifiedMaxCount, SH.minCount, SH.qualifiedMinCount):
        assert {int(str(n)) for n in shapes.objects(predicate=bound)} <= {0, 1}
    assert {int(str(n)) for n in shapes.objects(predicate=SH.minInclusive)} == {0}
    read = {f"<{shapes.value(shape, SH.path)}>".encode() for shape in shapes.subjects(SH["in"])}
    assert read == READ_WHOLE
    for path in shapes.objects(predicate=SH.path):
        assert isinstance(path, URIRef) or len(list(shapes.items(path))) == 2


def test_rules_add_what_follows_and_once():
    text = """
    @prefix prov: <http://www.w3.org/ns/prov#> . @prefix mls: <http://www.w3.org/ns/mls#> .
    @prefix provml: <https://w3id.org/sprov/prov-ml#> .
    @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
    @prefix dcterms: <http://purl.org/dc/terms/> . @prefix e: <https://example.org/> .
    e:a a provml:TrainingExecution ; provml:isPartOf e:b ; prov:qualifiedAssociation e:q .
    e:q prov:agent e:rank ; prov:hadPlan e:fit .
    e:lr a provml:LearningHyperparameterValue ; prov:value 0.1 ; provml:ofAttribute e:at .
    e:plain prov:value 7 ; provml:ofAttribute e:other . e:other rdfs:label "row" .
    e:series provml:ofAttribute e:other .
    """
    expected = """
    e:a a provml:LearningStageExecution, provml:BaseLearningStageExecution, prov:Activity ;
        dcterms:isPartOf e:b ; prov:wasAssociatedWith e:rank ; provml:executes e:fit .
    e:lr a provml:AttributeValue, mls:HyperParameterSetting, prov:Entity ;
        mls:specifiedBy e:at ; mls:hasValue 0.1 .
    e:plain a provml:AttributeValue, prov:Entity ; rdfs:label "row = 7" .
    """
    stated = Graph().parse(data=text, format="turtle")
    once = completed(stated.serialize(format="nt", encoding="utf-8"))
    added = Graph().parse(data=once, format="nt") - stated
    prefixes = text.partition("e:a a")[0]
    assert set(added) == set(Graph().parse(data=prefixes + expected, format="turtle"))
    assert sorted(completed(once).splitlines()) == sorted(once.splitlines())
