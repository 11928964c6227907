"""Real MPI ranks, real daemons: what was captured is in the store, once."""

from __future__ import annotations

from harness import TIMEOUT_S, TRANSFORMATIONS, Site, wait_until

RANKS = 4
STEPS = 300


def test_every_record_of_four_ranks_is_in_the_store_once(served: Site):
    """Each rank's numbers are there, none twice, with what was used and generated."""
    served.run("steps.py", str(STEPS), "--mpi", ranks=RANKS)
    rows = served.select(
        f"""SELECT ?rank ?n ?square {{ {TRANSFORMATIONS} ; prov:used ?u ;
            prov:qualifiedAssociation/prov:agent/sprov:rank ?rank .
            ?u prov:value ?n ; provml:ofAttribute/rdfs:label "n" .
            ?g prov:wasGeneratedBy ?a ; prov:value ?square ;
               provml:ofAttribute/rdfs:label "square" }}"""
    )
    found = sorted((int(row["rank"]), int(row["n"]), int(row["square"])) for row in rows)
    assert found == [(rank, n, n * n) for rank in range(RANKS) for n in range(STEPS)]
    assert served.count(TRANSFORMATIONS) == RANKS * STEPS
    report = served.verify()
    assert report["captured"] == report["journalled"] == RANKS * (STEPS + 3)


def test_a_query_during_the_run_never_sees_half_a_batch(served: Site):
    """Whenever it is asked, each transformation that can be seen has all of its parts."""
    enough = served.folder / "enough"
    options = ("--mpi", "--pace", "0.002", "--until", str(enough))
    ranks = served.start("steps.py", "100", *options, ranks=RANKS)
    whole = f"""SELECT (COUNT(DISTINCT ?a) AS ?n) (COUNT(DISTINCT ?g) AS ?generated)
                       (COUNT(DISTINCT ?v) AS ?valued) {{
        {TRANSFORMATIONS} OPTIONAL {{ ?g prov:wasGeneratedBy ?a .
        OPTIONAL {{ ?g prov:value ?value BIND(?g AS ?v) }} }} }}"""
    seen = []

    def ask() -> bool:
        import json

        answer = json.loads(served.sprov("query", whole, "--format", "json"))
        row = {k: int(v["value"]) for k, v in answer["results"]["bindings"][0].items()}
        assert row["generated"] == row["valued"] == 2 * row["n"]
        if row["n"] and row["n"] not in seen:
            seen.append(row["n"])
        return len(seen) >= 3

    wait_until(ask)
    assert ranks.poll() is None, "the run was over before it was asked about"
    enough.touch()
    assert ranks.wait(TIMEOUT_S) == 0
    total = sum(int(word) for word in ranks.stdout.read().split())
    assert seen == sorted(seen)
    assert served.count(TRANSFORMATIONS) == total
    served.verify()


def test_the_ranks_of_one_training_are_one_training(served: Site):
    """One run, one collective training, as many executions of it as ranks; epochs likewise."""
    served.run("training.py", ranks=RANKS)
    assert served.count("?r a provml:LearningExperimentExecution") == 1
    rows = served.select(
        """SELECT ?class ?label (COUNT(DISTINCT ?a) AS ?n) {
             ?c a sprov:Collective, ?class ; rdfs:label ?label . ?a provml:isPartOf ?c .
             ?a prov:startedAtTime ?at
             FILTER(?class NOT IN (sprov:Collective, prov:Activity, mls:Run)) }
           GROUP BY ?c ?class ?label ORDER BY ?label"""
    )
    found = [(r["class"].rpartition("#")[2], r["label"], int(r["n"])) for r in rows]
    assert found == [
        ("ValidationExecution", "check", RANKS),
        ("ValidationExecution", "check", RANKS),
        ("LearningStageSectionExecution", "epoch 0", RANKS),
        ("LearningStageSectionExecution", "epoch 1", RANKS),
        ("TrainingExecution", "fit", RANKS),
    ]
    (run,) = served.select("SELECT ?n { ?r sprov:ranks ?n }")
    assert int(run["n"]) == RANKS


def test_two_programs_from_one_shell_are_two_runs(served: Site):
    """And so are two launches of the same program by mpirun."""
    for _ in range(2):
        served.run("training.py")
        served.run("training.py", ranks=2)
    assert served.count("?r a provml:LearningExperimentExecution") == 4


def test_metrics_are_points_by_step_and_rank(served: Site):
    served.run("training.py", ranks=2)
    served.select("SELECT ?s { ?s ?p ?o } LIMIT 1")
    lines = served.sprov("metrics", "@last", "--csv").splitlines()
    assert lines[0] == "name,rank,step,at_ns,value,attempt"
    points = {tuple(line.split(",")[i] for i in (0, 1, 2, 4)) for line in lines[1:]}
    assert points == {
        ("loss", "0", "0", "1.0"), ("loss", "1", "0", "1.0"),
        ("loss", "0", "1", "0.5"), ("loss", "1", "1", "0.5"),
    }  # fmt: skip
    assert len(lines) == 5
