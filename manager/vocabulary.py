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
AGENT = term("prov:Agent")
PLAN = term("prov:Plan")
ROLE = term("prov:Role")
ASSOCIATED_WITH = term("prov:wasAssociatedWith")
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
    "trial": term("sprov:TrialExecution"),
}
SECTION_EXECUTION = term("provml:LearningStageSectionExecution")

PLANS = {
    "transformation": term("provml:DataTransformation"),
    "workflow": term("provml:Workflow"),
    "training": term("provml:Training"),
    "validation": term("provml:Validation"),
    "evaluation": term("provml:Evaluation"),
    "feature_extraction": term("provml:FeatureExtraction"),
    "trial": term("sprov:Trial"),
}
SECTION_PLAN = term("provml:LearningStageSection")

ML_RUNS = ("training", "evaluation")
"""Stages whose collective is an mls:Run."""

ATTRIBUTES = {
    "in": term("provml:Attribute"),
    "out": term("provml:Attribute"),
    "hyperparameter": term("provml:LearningHyperparameter"),
    "model_hyperparameter": term("provml:ModelHyperparameter"),
}

VALUE_TYPES = {
    "hyperparameter": term("provml:LearningHyperparameterValue"),
    "model_hyperparameter": term("provml:ModelHyperparameterValue"),
    "evaluation": term("provml:ModelEvaluation"),
}

FILES = {
    "file": (term("sprov:File"),),
    "directory": (term("sprov:Directory"),),
    "model": (term("provml:Model"),),
    "checkpoint": (term("provml:Model"), term("provml:Checkpoint")),
    "reference": (term("provml:DataReference"),),
}

NODES = {
    "study": (term("provml:Study"), PLAN, ENTITY),
    "experiment": (term("provml:LearningExperiment"), PLAN, ENTITY),
    "task": (term("provml:LearningTask"), ENTITY),
    "algorithm": (term("provml:Algorithm"), ENTITY),
    "implementation": (term("provml:Implementation"), ENTITY),
    "software": (term("provml:Software"), ENTITY),
    "schema": (term("provml:DataSchema"), ENTITY),
    "datastore": (term("provml:DataStore"), ENTITY),
    "featureset": (term("provml:FeatureSet"), ENTITY),
    "feature": (term("provml:Feature"), ENTITY),
    "dataset": (term("provml:LearningDataSetReference"), term("mls:Data"), ENTITY),
    "featuredata": (term("provml:FeatureSetData"), term("mls:Data"), ENTITY),
    "characteristic": (term("provml:DatasetCharacteristic"), ENTITY),
    "model_characteristic": (term("mls:ModelCharacteristic"), ENTITY),
    "model_schema": (term("provml:ModelSchema"), ENTITY),
    "prospection": (term("provml:ModelProspection"), ENTITY),
    "evaluation_specification": (term("provml:EvaluationSpecification"), ENTITY),
    "evaluation_procedure": (term("provml:EvaluationProcedure"), ENTITY),
    "measure": (term("provml:EvaluationMeasure"), ENTITY),
    "persona": (term("provml:Persona"), AGENT),
    "job": (term("sprov:Job"), ACTIVITY),
    "step": (term("sprov:JobStep"), ACTIVITY),
    "array": (term("sprov:JobArray"), ACTIVITY),
    "accounting": (term("sprov:Accounting"), ENTITY),
    "content": (term("sprov:Content"), ENTITY),
    "association": (term("prov:Association"),),
    "skipped": (term("sprov:SkippedRecords"), ENTITY),
    "fact": (term("sprov:Fact"), ENTITY),
    "node": (term("prov:Location"),),
}
"""Classes of a `pllib.linked.Node`, by its kind; of other kinds other tables tell."""

PATHS = {
    "persona": "user",
    "featuredata": "dataset",
    "model_characteristic": "characteristic",
    "value": "entity",
    "array": "job",
}
"""Kind of IRI, where it is not the kind itself."""

PROPERTIES = {
    "declared": term("sprov:declared"),
    "description": term("sprov:description"),
    "type": term("sprov:declaredType"),
    "unit": term("sprov:unit"),
    "required": term("sprov:required"),
    "default": term("sprov:default"),
    "location": term("sprov:location"),
    "store_kind": term("sprov:storeKind"),
    "role": term("sprov:role"),
    "fields": term("sprov:fields"),
    "layers": term("sprov:layers"),
    "index": term("sprov:index"),
    "version": term("sprov:version"),
    "split": term("sprov:split"),
    "fingerprint": term("sprov:fingerprint"),
    "digest": term("sprov:digest"),
    "size": term("sprov:size"),
    "overwritten": term("sprov:overwritten"),
    "step": term("sprov:step"),
    "best": term("sprov:best"),
    "score": term("sprov:score"),
    "cluster": term("sprov:cluster"),
    "partition": term("sprov:partition"),
    "account": term("sprov:account"),
    "nodelist": term("sprov:nodelist"),
    "fact": term("sprov:fact"),
    "redacted": term("sprov:redacted"),
    "outcome": term("sprov:outcome"),
    "outcome_at": term("sprov:outcomeAt"),
    "wraps": term("sprov:wraps"),
    "outcome_seen_at": term("sprov:outcomeSeenAt"),
    "ended_with_process": term("sprov:endedWithProcess"),
    "exit_status": term("sprov:exitStatus"),
    "signal": term("sprov:signal"),
    "cpu_seconds": term("sprov:cpuSeconds"),
    "max_rss_bytes": term("sprov:maxRssBytes"),
    "read_bytes": term("sprov:readBytes"),
    "written_bytes": term("sprov:writtenBytes"),
    "source": term("sprov:source"),
    "state": term("sprov:state"),
    "restart": term("sprov:restart"),
    "began": term("sprov:began"),
    "finished": term("sprov:finished"),
    "observed": term("sprov:observedAt"),
    "elapsed_seconds": term("sprov:elapsedSeconds"),
    "consumed_energy_joules": term("sprov:consumedEnergyJoules"),
    "nodes": term("sprov:nodes"),
    "tasks": term("sprov:tasks"),
    "requested_cpus": term("sprov:requestedCpus"),
    "requested_memory_bytes": term("sprov:requestedMemoryBytes"),
    "requested_gpus": term("sprov:requestedGpus"),
    "requested_seconds": term("sprov:requestedSeconds"),
    "qos": term("sprov:qos"),
    "user": term("sprov:user"),
    "job_name": term("sprov:jobName"),
    "reason": term("sprov:reason"),
    "comment": term("sprov:comment"),
    "requested_tres": term("sprov:requestedTres"),
    "allocated_tres": term("sprov:allocatedTres"),
    "working_folder": term("sprov:workingFolder"),
    "command": term("sprov:command"),
    "dependency": term("sprov:dependency"),
    "submit_line": term("sprov:submitLine"),
    "value": VALUE,
    "part_of": PART_OF,
    "account_of": term("sprov:accountOf"),
    "persona": term("provml:hasPersona"),
    "task": term("provml:hasTask"),
    "algorithm": term("provml:realizesAlgorithm"),
    "implementation": term("provml:usesImplementation"),
    "software": term("provml:usesSoftware"),
    "evaluation": term("provml:hasEvaluationSpecification"),
    "model_schema": term("provml:hasModelSchema"),
    "prospection": term("provml:hasModelProspection"),
    "schema": term("provml:hasSchema"),
    "store": term("provml:isStoredIn"),
    "feature_set": term("provml:hasFeatureSet"),
    "features": term("provml:hasFeature"),
    "of_feature_set": term("provml:ofFeatureSet"),
    "procedure": term("provml:hasEvaluationProcedure"),
    "measures": term("provml:hasMeasure"),
    "measure": term("provml:ofMeasure"),
    "dataset": term("provml:ofDataset"),
    "characteristic": term("provml:hasCharacteristic"),
    "content": term("prov:specializationOf"),
    "member": term("prov:hadMember"),
    "resumed_from": term("sprov:resumedFrom"),
    "association": QUALIFIED_ASSOCIATION,
    "associated_with": ASSOCIATED_WITH,
    "agent": term("prov:agent"),
    "plan": term("prov:hadPlan"),
    "skipped_reason": term("sprov:skippedReason"),
    "skipped_records": term("sprov:skippedRecords"),
    "frame": term("sprov:frame"),
    "at_location": term("prov:atLocation"),
    "of_run": term("sprov:run"),
    "of_log": term("sprov:ofLog"),
}
"""Properties of a `pllib.linked.Node`."""

DATATYPES = {
    "integer": term("xsd:integer"),
    "double": term("xsd:double"),
    "boolean": term("xsd:boolean"),
    "dateTime": term("xsd:dateTime"),
    "JSON": term("rdf:JSON"),
    "described": term("sprov:described"),
}
