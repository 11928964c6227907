"""A run as an RO-Crate: Process, Workflow and Provenance Run Crate 0.5.

The whole graph lies in the crate as ``provenance.ttl``, from which `sprov import` reads the run
back.  The metadata say what others ask of a run, with the graph's own IRIs for whatever is no file:
the program is the workflow, its plans are steps and tools, attributes are formal parameters, and
executions are actions (`units`).  Files stay where they are, and are described; those whose size
and time are still what the run saw can be copied in.

Source: Workflow Run RO-Crate profiles 0.5, https://www.researchobject.org/workflow-run-crate/.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

from manager.store.software import merged
from pllib.moments import moment
from pllib.settings import Publishing

from .crate_data import Data
from .crate_plan import Plans
from .graph import Graph, iri, turtle
from .units import Unit, Units

README = "README.md"
GRAPH = "provenance.ttl"
WORKFLOW = "workflow.ttl"
ENVIRONMENT = "environment.json"
RO_CRATE_VERSION = "1.1"
"""What version 0.5 of the profiles builds on."""
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_README = f"""\
# One run of a program, as its provenance

An RO-Crate that `sprov export` wrote. `ro-crate-metadata.json` describes it.

- `{GRAPH}`: the whole graph of the run, in PROV-O and PROV-ML. `sprov import` reads it.
- `{WORKFLOW}`: the plan of the program, a part of that graph.
- `{ENVIRONMENT}`: what is known of the machine and the software, by name.

Files that the run used and generated are described; those in `files/`, if any, are copies.
"""
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
TERMS = {
    name: f"https://w3id.org/ro/terms/workflow-run#{name}"
    for name in (
        "containerImage", "ContainerImage", "resourceUsage", "ParameterConnection", "connection",
        "sourceParameter", "targetParameter", "environment",
    )
} | {"localPath": "https://w3id.org/ro/terms#localPath"}  # fmt: skip
"""Terms that the context of RO-Crate 1.1 does not have; embedded, so that nobody fetches them."""

_NAME_AND_ADDRESS = re.compile(r"(.*\S)\s*<(https?://[^<>\s]+)>")
Entity = dict[str, Any]


def write_crate(
    graph: Graph, path: Path, publishing: Publishing, *, with_files: bool = False
) -> None:
    """Write a crate into a new folder, or a file if its name ends in ``.zip``.

    Raises:
        OSError: It can't be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        crate = _Crate(graph, Path(folder), publishing, with_files=with_files).crate
        made = Path(folder, f"crate{path.suffix}")
        if path.suffix == ".zip":
            crate.write_zip(str(made))
        else:
            crate.write(str(made))
        made.rename(path)


def reference(ids: Iterable[str]) -> list[Entity]:
    return [{"@id": name} for name in ids]


class _Crate:
    def __init__(
        self, graph: Graph, folder: Path, publishing: Publishing, *, with_files: bool
    ) -> None:
        self.crate = ROCrate(version=RO_CRATE_VERSION)
        self.crate.metadata.extra_terms.update(TERMS)
        self._graph = graph
        self._folder = folder
        self._facts = merged(graph.texts(graph.run, "sprov:fact"))
        self._units = Units(graph)
        self._data = Data(graph, self.crate, with_files=with_files)
        self._plans = Plans(graph, self._units, self._data, self._facts)
        self._root()
        self._publication(publishing)
        self._files()
        self._persons()
        self._actions()
        for entity in (*self._plans.entities(), *self._data.entities()):
            self.crate.add_jsonld(entity)
        self._unwrap()

    def _unwrap(self) -> None:
        """Give values that are the only one of their property without a list, as RO-Crate asks."""
        for entity in self.crate.get_entities():
            properties = entity.properties()
            for name, value in properties.items():
                if isinstance(value, list) and len(value) == 1:
                    properties[name] = value[0]

    def _add(self, identifier: str, kind: str | list[str], **properties: Any) -> str:
        said = {name: value for name, value in properties.items() if value not in (None, "", [])}
        self.crate.add_jsonld({"@id": identifier, "@type": kind, **said})
        return identifier

    def _root(self) -> None:
        graph, root = self._graph, self.crate.root_dataset
        program = graph.text(graph.run, "sprov:program", "program")
        label = graph.text(graph.run, "rdfs:label") or graph.text(graph.run, "sprov:experiment")
        root["name"] = f"{label}: a run of {program}" if label else f"A run of {program}"
        study = graph.text(graph.run, "sprov:study", "no study")
        root["description"] = (
            f"Provenance of one run of {program} ({study}, "
            f"{graph.text(graph.run, 'sprov:ranks', '1')} rank(s)), captured by sprov. "
            f"{GRAPH} has all of it."
        )
        times = self._units.whole.ended or self._units.whole.started
        root.properties()["datePublished"] = max(times, default="1970-01-01")
        for profile, (name, version) in PROFILES.items():
            self._add(profile, "CreativeWork", name=name, version=version)
        root["conformsTo"] = reference(PROFILES)
        self.crate.metadata["conformsTo"] = reference(
            [f"https://w3id.org/ro/crate/{RO_CRATE_VERSION}", _WORKFLOW_CRATE]
        )
        if tags := graph.texts(graph.run, "sprov:tag"):
            root["keywords"] = ", ".join(tags)

    def _publication(self, publishing: Publishing) -> None:
        root, stated = self.crate.root_dataset, publishing.license
        root["license"] = stated or "Not stated."
        if stated.startswith(("https://", "http://")):
            self._add(stated, "CreativeWork", name=stated, url=stated)
            root["license"] = {"@id": stated}
        for role, kind, text in (
            ("author", "Person", publishing.author),
            ("publisher", "Organization", publishing.publisher),
        ):
            if text:
                named = _NAME_AND_ADDRESS.fullmatch(text)
                name, address = named.groups() if named else (text, None)
                entity = self._add(address or f"#{role}", kind, name=name, url=address)
                root[role] = {"@id": entity}

    def _files(self) -> None:
        """Add the graph, the plan as main entity, and the environment."""
        about = reference([self._graph.run])
        self._file(README, _README.encode(), {
            "name": "What is in this crate", "encodingFormat": "text/markdown",
            "about": {"@id": "./"},
        })  # fmt: skip
        self._file(GRAPH, turtle(self._graph.triples()), {
            "name": "Provenance graph of the run", "encodingFormat": "text/turtle", "about": about,
            "conformsTo": reference(["http://www.w3.org/ns/prov-o#"]),
        })  # fmt: skip
        facts = json.dumps(self._facts, indent=1, sort_keys=True, allow_nan=False).encode()
        self._file(ENVIRONMENT, facts, {
            "name": "Environment of the run", "encodingFormat": "application/json",
        })  # fmt: skip
        main = self._file(WORKFLOW, turtle(self._plans.triples()), {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "encodingFormat": "text/turtle", "conformsTo": {"@id": _WORKFLOW_PROFILE},
            "softwareRequirements": reference([ENVIRONMENT]),
            **self._plans.workflow(),
        })  # fmt: skip
        language = iri("provml:Workflow").partition("#")[0]
        self._add(language, "ComputerLanguage", name="PROV-ML", url=language)
        main["programmingLanguage"] = {"@id": language}
        self.crate.root_dataset["mainEntity"] = main

    def _file(self, name: str, content: bytes, properties: Mapping[str, Any]) -> Any:
        source = self._folder / name
        source.write_bytes(content)
        size = {"contentSize": str(len(content))}
        return self.crate.add_file(str(source), name, properties={**size, **properties})

    def _persons(self) -> None:
        for person in self._graph.instances("provml:Persona"):
            self._add(person, "Person", name=self._graph.text(person, "rdfs:label", "unknown"))

    def _actions(self) -> None:
        """Add an action for each unit, one for the run, and who controlled which step."""
        image = self._image()
        for unit in self._units.units:
            self._action(unit, self._plans.tool(unit.plan), image)
        controls = [self._control(plan) for plan in self._plans.steps]
        run = self._run_action(image)
        engine = self._add(
            f"{self._graph.run}#engine", "SoftwareApplication", name="Python",
            softwareVersion=self._facts.get("python"), url="https://www.python.org",
        )  # fmt: skip
        if controls:
            self._add(
                "#organize", "OrganizeAction", name="The run's steps, by the program",
                instrument=reference([engine]), result=reference([run]), object=reference(controls),
                **self._times(self._units.whole),
            )  # fmt: skip
        self.crate.root_dataset["mentions"] = reference(
            [run, *(unit.id for unit in self._units.units)]
        )

    def _control(self, plan: str) -> str:
        units = [unit.id for unit in self._units.units if unit.plan == plan]
        step = self._plans.step(plan)
        return self._add(
            f"#control/{step.rpartition('/')[2]}", "ControlAction",
            name=f"Control of {self._graph.text(plan, 'rdfs:label', 'a step')}",
            instrument=reference([step]), object=reference(units),
        )  # fmt: skip

    def _action(self, unit: Unit, tool: str, image: list[Entity]) -> None:
        objects, more = self._data.references(unit.used)
        results, more_results = self._data.references(unit.generated)
        told = f"{unit.label}: {len(unit.executions)} execution(s) by {len(unit.agents)} rank(s)."
        if left_out := more + more_results:
            told += f" {left_out} more values are in {GRAPH}."
        self._add(
            unit.id, "CreateAction", name=unit.label, description=told,
            instrument=reference([tool]), object=objects, result=results,
            agent=self._agents(unit), containerImage=image,
            resourceUsage=self._data.disk(unit), **self._times(unit), **self._status(unit),
        )  # fmt: skip

    def _run_action(self, image: list[Entity]) -> str:
        """Add the action of the whole run: what came from outside, and all files that it made."""
        whole = self._units.whole
        units = self._units.units
        made = {entity for unit in (whole, *units) for entity in unit.generated}
        used, generated = dict(whole.used), dict(whole.generated)
        for unit in units:
            outside = (item for item in unit.used.items() if item[0] not in made)
            used.update(item for item in outside if self._data.is_file(item[0]))
            generated.update(i for i in unit.generated.items() if self._data.is_file(i[0]))
        objects, _ = self._data.references(used)
        results, _ = self._data.references(generated)
        return self._add(
            self._graph.run, "CreateAction", name=str(self.crate.root_dataset["name"]),
            instrument=reference([WORKFLOW]), object=objects, result=results,
            agent=self._agents(whole), containerImage=image,
            description=self.crate.root_dataset["description"],
            environment=[self._data.variable(*fact) for fact in sorted(self._facts.items())],
            resourceUsage=[*self._data.resources(self._facts), *self._data.disk(whole)],
            **self._times(whole), **self._status(whole),
        )  # fmt: skip

    def _agents(self, unit: Unit) -> list[Entity]:
        users = {
            user
            for agent in unit.agents
            for user in self._graph.texts(agent, "prov:actedOnBehalfOf")
        }
        return reference(sorted(users))

    def _times(self, unit: Unit) -> dict[str, str | None]:
        ended = unit.ended if len(unit.ended) >= len(unit.executions) else []
        return {"startTime": _time(min, unit.started), "endTime": _time(max, ended)}

    def _status(self, unit: Unit) -> dict[str, Any]:
        if unit.errors:
            status, error = "FailedActionStatus", "; ".join(sorted(set(unit.errors)))
        else:
            ended = len(unit.ended) >= len(unit.executions) > 0
            # The profile knows only these two: a run that has no end yet has no status.
            if not ended:
                return {}
            status, error = "CompletedActionStatus", None
        return {"actionStatus": f"http://schema.org/{status}", "error": error}

    def _image(self) -> list[Entity]:
        """Return the container that the run was in: an image file, or all that is known of it."""
        container = self._facts.get("container")
        if not container:
            return []
        if "/" not in container and not container.endswith(".sif"):  # only what kind it was
            named, kind = f"{container} (which image is not known)", None
        else:
            local = "SIFImage" if container.endswith(".sif") else "DockerImage"
            named, kind = container, {"@id": f"https://w3id.org/ro/terms/workflow-run#{local}"}
        return reference(
            [self._add("#container", "ContainerImage", name=named, additionalType=kind)]
        )


def _time(choose: Callable[[list[str]], str], times: list[str]) -> str | None:
    """Return one of some times as the profile has it: to the millisecond, with an offset."""
    if not times:
        return None
    return f"{moment(choose(times)).isoformat(timespec='milliseconds')}+00:00"
