"""What a plan may say: the kinds of prospective things, and their properties.

Shared by what declares (`pllib.declaration`, `Execution.stage`) and by what links
(`tracker.prospective`).  A `pllib.records.Declared` holds one thing.
"""

from __future__ import annotations

from typing import NamedTuple

STAGES = ("training", "validation", "evaluation", "feature_extraction")
TRIAL = "trial"

HYPERPARAMETER, MODEL_HYPERPARAMETER = "hp:", "mhp:"
"""Prefixes of a used name that is a hyperparameter of the stage's, or of the model's."""
RESUMED_FROM = "resumed_from"
"""Name of what an execution used to go on from."""

ATTRIBUTES = ("in", "out", "hyperparameter", "model_hyperparameter")
"""Directions of an attribute; `Declared.within` names its plan."""

PLANS = ("workflow", "transformation", *STAGES, TRIAL)
"""Kinds of `Declared` that are plans; any other word within a stage is a kind of section."""

THINGS = (
    "study", "experiment", "persona", "datastore", "schema", "feature", "featureset", "dataset",
    "task", "algorithm", "implementation", "software", "model_schema", "prospection",
    "evaluation_specification", "evaluation_procedure", "measure",
)  # fmt: skip
"""Kinds of `Declared` that are no plans and have a name of their own in the project."""

SECTION = "section:"
"""Prefix of the kind of a section's plan, as in ``section:epoch``."""

TYPES = (
    "any", "integer", "double", "number", "boolean", "string", "json", "file", "directory", "model",
    "dataset", "reference",
)  # fmt: skip
"""What an attribute's `type` may be."""


class Property(NamedTuple):
    """Of a thing: a literal, or a link to what is named."""

    target: str = ""
    """Kind in `THINGS` that it links to; empty for a literal."""
    many: bool = False


PROPERTIES = {
    "description": Property(),
    "type": Property(),
    "unit": Property(),
    "required": Property(),
    "default": Property(),
    "location": Property(),
    "store_kind": Property(),
    "role": Property(),
    "fields": Property(),
    "layers": Property(),
    "index": Property(),
    "version": Property(),
    "split": Property(),
    "persona": Property("persona", many=True),
    "task": Property("task"),
    "algorithm": Property("algorithm"),
    "implementation": Property("implementation"),
    "software": Property("software"),
    "evaluation": Property("evaluation_specification"),
    "model_schema": Property("model_schema"),
    "prospection": Property("prospection"),
    "schema": Property("schema"),
    "store": Property("datastore"),
    "feature_set": Property("featureset"),
    "features": Property("feature", many=True),
    "procedure": Property("evaluation_procedure"),
    "measures": Property("measure", many=True),
    "dataset": Property("dataset"),
}
