WITH RECURSIVE chain(run) AS (
  SELECT $run::VARCHAR
  UNION
  SELECT CASE WHEN a.run = c.run THEN a.from_run ELSE a.run END
  FROM answer a JOIN chain c ON c.run = a.run OR c.run = a.from_run
)
SELECT run, plan, "at", from_path, from_step, from_run
FROM answer WHERE run IN (SELECT run FROM chain) ORDER BY "at"
