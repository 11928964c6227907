"""A declaration is read whole; what is wrong in it is told with its line and left out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from harness import TIMEOUT_S

from pllib.declaration import check
from pllib.plans import ATTRIBUTES, PLANS, SECTION, THINGS
from pllib.records import Declared

PAGE = Path(__file__).parents[2] / "docs/reference/declaration.md"
(EXAMPLE,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)


def properties(declared: list[Declared], kind: str, name: str) -> dict:
    (found,) = [item for item in declared if (item.kind, item.name) == (kind, name)]
    return msgspec.msgpack.decode(found.properties)


def names(declared: list[Declared]) -> list[tuple[str, str]]:
    return [(item.kind, item.name) for item in declared]


@pytest.fixture
def write(tmp_path: Path):
    """Return what writes a file and checks it."""

    def written(text: str, name: str = "plan.yaml") -> tuple[list[Declared], list[str]]:
        (tmp_path / name).write_text(text)
        declared, problems = check(tmp_path / name)
        return declared, [problem.removeprefix(f"{tmp_path}/") for problem in problems]

    return written


def test_the_documented_example_is_right_and_says_all_of_it(write):
    declared, problems = write(EXAMPLE)
    assert problems == []
    kinds = Counter(item.kind for item in declared)
    assert kinds["feature"] == 3
    assert set(kinds) <= {*THINGS, *PLANS, *ATTRIBUTES, f"{SECTION}epoch"}
    assert set(kinds) >= {*ATTRIBUTES, "workflow", "transformation", "training", "evaluation"}
    assert properties(declared, "hyperparameter", "lr") == {
        "type": "double",
        "required": True,
        "default": 0.001,
    }
    assert properties(declared, "training", "fit")["persona"] == ["ada"]
    assert properties(declared, "datastore", "scratch")["store_kind"] == "file system"
    assert properties(declared, "prospection", "candidate") == {"model_schema": "two layers"}
    assert properties(declared, "dataset", "digits")["version"] == "1"
    within = {(item.kind, item.name): (item.workflow, item.within) for item in declared}
    assert within["workflow", "mlp"] == ("mlp", "digits/mlp")
    assert within["experiment", "mlp"] == ("", "digits")
    assert within["out", "clean"] == ("mlp", "transformation/curate")
    assert within["section:epoch", "epoch"] == ("mlp", "training/fit")
    assert within["out", "seconds"] == ("mlp", "section:epoch/epoch")


def test_yaml_json_and_a_dict_say_the_same(write):
    import yaml

    document = yaml.safe_load(EXAMPLE)
    assert write(EXAMPLE)[0] == write(json.dumps(document), "plan.json")[0] == check(document)[0]


PROBLEMS = {
    "an unknown key": ("studdy: digits\n", "1: studdy: no key 'studdy' here (did you mean"),
    "an unknown class": ("stages:\n  - name: fit\n    kind: trainin\n", "3: stages[0].kind: "),
    "an unknown type": ("stages:\n- kind: training\n  used:\n    x: doubel\n", "4: stages[0].used"),
    "two types": ("stages:\n- kind: training\n  used:\n    x: file\n    x: double\n", "5: stages"),
    "a list of types": ("stages:\n- kind: training\n  used: {x: [file, double]}\n", "3: stages[0]"),
    "two plans": (
        "transformations:\n- name: a\n  used: {x: file}\n- name: a\n  used: {x: double}\n",
        "5: transformations[1].used.x: in 'x' is declared twice, differently, as ",
    ),
    "two things": (
        "stores:\n- {name: s, location: /a}\n- {name: s, location: /b}\n",
        "3: stores[1]: datastore 's' is declared twice, differently: the first is kept",
    ),
    "an undeclared schema": (
        "schemas:\n- {name: t}\nstages:\n- kind: training\n  used:\n    x: {schema: tt}\n",
        "6: stages[0].used.x.schema: no schema 'tt' is declared (did you mean 't'?)",
    ),
    "an undeclared evaluation": (
        "evaluations:\n- name: e\nstages:\n- kind: evaluation\n  evaluation: f\n",
        "5: stages[0].evaluation: no evaluation_specification 'f' is declared",
    ),
    "its own part": (
        "transformations:\n- name: a\n  transformations:\n  - name: b\n    transformations:\n"
        "    - name: a\n",
        "6: transformations[0].transformations[0].transformations[0]: 'a' is its own part",
    ),
    "a wrong default": (
        "stages:\n- kind: training\n  hyperparameters:\n    lr: {type: double, default: fast}\n",
        "4: stages[0].hyperparameters.lr.default: 'fast' is of another type than double",
    ),
    "no name": ("transformations:\n- used: {x: file}\n", "2: transformations[0]: a name is"),
    "no list": ("stages: {kind: training}\n", "1: stages: a list is expected"),
    "no mapping": ("stages:\n- training\n", "2: stages[0]: a mapping is expected, not a str"),
    "an empty name": ("study: ''\n", "1: study"),
    "a long name": (f"study: {'x' * 300}\n", "1: study"),
    "not true or false": (
        "stages:\n- kind: training\n  used: {x: {required: perhaps}}\n",
        "3: stages[0].used.x.required: true or false is expected",
    ),
    "an evil tag": ("study: !!python/object/apply:os.system [ls]\n", "1: no plain YAML"),
    "no YAML": ("study: [\n", "2: no plain YAML"),
    "nothing": ("# empty\n", "nothing is declared"),
    "a list": ("- study\n", "1: a mapping is expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_told_with_its_line(write, case):
    text, expected = PROBLEMS[case]
    _, problems = write(text)
    assert len(problems) == 1, problems
    assert expected in problems[0]
    assert problems[0].startswith("plan.yaml")
    assert "\n" not in problems[0]


def test_what_is_right_is_kept(write):
    declared, problems = write(
        "study: s\nstores: [{name: a, plaice: x}]\ntransformations:\n- name: t\n"
        "  used: {x: {type: file, store: b}, y: doubel, z: double}\n- nam: u\n"
    )
    assert len(problems) == 5
    assert names(declared) == [
        ("study", "s"), ("datastore", "a"), ("workflow", ""), ("transformation", "t"),
        ("in", "x"), ("in", "z"),
    ]  # fmt: skip


def test_the_lines_of_json_are_told(write):
    text = '{\n  "study": "s",\n  "stages": [\n    {"kind": "x"}\n  ]\n}'
    assert write(text, "p.json")[1][0].startswith("p.json:4: stages[0].kind: no class of stage 'x'")
    assert write('{"a": \n 1,}', "q.json")[1][0].startswith("q.json:2: no JSON")
    twice = '{"study": "a", "study": "b"}'
    assert write(twice, "r.json")[1] == ["r.json: study: given twice: the first is kept"]


def test_the_same_thing_said_twice_is_one(write):
    epoch = "sections: [{kind: epoch, generated: {loss: double}}]"
    declared, problems = write(
        f"stages:\n- kind: training\n  {epoch}\n- kind: validation\n  {epoch}\n- kind: training\n"
    )
    assert problems == []
    assert Counter(names(declared)) == {
        ("workflow", ""): 1, ("training", "training"): 1, ("validation", "validation"): 1,
        ("section:epoch", "epoch"): 2, ("out", "loss"): 1,
    }  # fmt: skip


def test_yaml_that_stands_for_more_than_it_writes_is_refused(write):
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for letter, before in zip("bcdefgh", "abcdefg", strict=True):
        laughs += f"{letter}: &{letter} [{', '.join([f'*{before}'] * 10)}]\n"
    for text in (laughs, "study: &s [*s]\n", "study: " + "[" * 5000 + "]" * 5000):
        declared, problems = write(text)
        assert (declared, len(problems)) == ([], 1)


@pytest.mark.parametrize(
    "value", ["!!map x", "!!seq x", "!!map [a, b]", "!!bool x", '!!int ""', "!!timestamp x", "\0"]
)
def test_a_value_that_is_not_what_its_tag_says_is_told(write, value):
    declared, problems = write(f"study: {value}\n")
    assert (declared, len(problems)) == ([], 1)


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_a_number_too_long_for_text_is_told(write, name):
    number = "1" * 5000 if name.endswith("json") else "0x" + "f" * 5000
    declared, problems = write(f'{{"stages": [{{"kind": {number}}}]}}', name)
    assert (declared, len(problems)) == ([], 1)


def test_merged_keys_may_be_overridden(write):
    declared, problems = write(
        "transformations:\n- &base {name: a, used: {x: file}}\n- {<<: *base, name: b}\n"
    )
    assert problems == []
    assert [item.within for item in declared if item.kind == "in"] == [
        "transformation/a",
        "transformation/b",
    ]


@pytest.mark.parametrize("source", [5, None, ["a"], "", "/nowhere/plan.yaml", "\0", {1: 2}])
def test_what_is_no_declaration_is_a_problem(source):
    declared, problems = check(source)
    assert (declared, len(problems)) == ([], 1)


@pytest.mark.parametrize("value", [float("nan"), 2**80, object(), b"\xff", "a\udcff", [[[[[1]]]]]])
def test_any_default_or_layer_is_kept_plain_or_told(value):
    declared, problems = check({"model_schemas": [{"name": "m", "layers": value}], "study": value})
    for item in declared:
        kept = msgspec.msgpack.decode(item.properties)
        assert not isinstance(kept.get("layers"), msgspec.msgpack.Ext)
    assert declared or problems


def test_without_pyyaml_it_says_what_to_install(tmp_path: Path):
    (tmp_path / "plan.yaml").write_text("study: s\n")
    program = (
        "import sys; sys.modules['yaml'] = None; from pllib.declaration import check;"
        "print(*check(sys.argv[1])[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "plan.yaml")],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    assert "pip install 'sprov[yaml]'" in done.stdout
