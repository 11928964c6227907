"""Terms of PROV-O, PROV-ML, ML-Schema and sprov, as N-Triples text.

Source: W3C PROV-O; PROV-ML of arXiv 1910.04223 (class table); ML-Schema.
"""

from __future__ import annotations

from pllib.identity import ID_BASE

PREFIXES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dcterms": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "mls": "http://www.w3.org/ns/mls#",
    "provml": "https://w3id.org/sprov/prov-ml#",
    "sprov": "https://w3id.org/sprov/ns#",
    "id": ID_BASE,
}


def term(prefixed: str) -> str:
    """Return an IRI in angle brackets: ``prov:used`` → ``<http://www.w3.org/ns/prov#used>``."""
    prefix, _, local = prefixed.partition(":")
    return f"<{PREFIXES[prefix]}{local}>"


TYPE = term("rdf:type")
LABEL = term("rdfs:label")
VALUE = term("prov:value")
USED = term("prov:used")
GENERATED_BY = term("prov:wasGeneratedBy")
DERIVED_FROM = term("prov:wasDerivedFrom")
STARTED = term("prov:startedAtTime")
ENDED = term("prov:endedAtTime")
ACTIVITY = term("prov:Activity")
ENTITY = term("prov:Entity")
QUALIFIED_ASSOCIATION = term("prov:qualifiedAssociation")
PART_OF = term("provml:isPartOf")
OF_ATTRIBUTE = term("provml:ofAttribute")
WATERMARK = term("sprov:watermark")

EXECUTIONS = {
    "transformation": term("provml:DataTransformationExecution"),
    "run": term("provml:WorkflowExecution"),
    "training": term("provml:TrainingExecution"),
    "validation": term("provml:ValidationExecution"),
    "evaluation": term("provml:EvaluationExecution"),
    "feature_extraction": term("provml:FeatureExtractionExecution"),
}
SECTION_EXECUTION = term("provml:LearningStageSectionExecution")

PLANS = {
    "transformation": term("provml:DataTransformation"),
    "workflow": term("provml:Workflow"),
    "training": term("provml:Training"),
    "validation": term("provml:Validation"),
    "evaluation": term("provml:Evaluation"),
    "feature_extraction": term("provml:FeatureExtraction"),
}
SECTION_PLAN = term("provml:LearningStageSection")

ML_RUNS = ("training", "evaluation")
"""Stages whose collective is an mls:Run."""

FILES = {
    "file": term("sprov:File"),
    "directory": term("sprov:Directory"),
    "model": term("provml:Model"),
    "reference": term("provml:DataReference"),
}

DATATYPES = {
    "integer": term("xsd:integer"),
    "double": term("xsd:double"),
    "boolean": term("xsd:boolean"),
    "dateTime": term("xsd:dateTime"),
    "JSON": term("rdf:JSON"),
    "described": term("sprov:described"),
}
