"""What one transformation generates is used by the next, by its handle alone."""

from pathlib import Path

import pllib

Path("a.csv").write_text("1,2\n")
with pllib.open(study="files", workflow="handles") as session:
    with session.transformation("make") as make:
        made = make.generated(
            table=pllib.File("a.csv"),
            data=pllib.Dataset("a", version="1", files=["a.csv"]),
            both=[pllib.File("a.csv"), pllib.Ref("pg", "a/1")],
            rows=2,
        )
    with session.stage("training", "fit") as training:
        late = training.generated(weights=pllib.Ref("s3", "weights"))
    with session.transformation("choose") as choose:
        chosen = choose.generated(best=made["rows"])
    with session.transformation(
        "use", used={**made, "weights": late["weights"], "passed on": chosen["best"]}
    ):
        pass
