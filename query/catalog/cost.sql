WITH attempts AS (
  SELECT study, run, attempt, count(DISTINCT host) AS nodes,
         date_diff('microsecond', min(start), coalesce(max("end"::TIMESTAMP), min(start))) / 3.6e9 AS hours,
         max(coalesce(gpus::DOUBLE, per_node::DOUBLE * nodes_of.n, 0)) AS gpus
  FROM answer JOIN (SELECT attempt, count(DISTINCT host) AS n FROM answer GROUP BY attempt) nodes_of USING (attempt)
  GROUP BY study, run, attempt
), counters AS (
  SELECT run, series, max(value) - min(value) AS joules FROM points
  WHERE name = 'energy' AND isfinite(value) GROUP BY run, series
), energy AS (
  SELECT run, coalesce((SELECT sum(joules) FROM counters c WHERE c.run = a.run), max(joules::DOUBLE)) AS joules
  FROM answer a GROUP BY run
)
SELECT study, count(DISTINCT run) AS runs, sum(nodes * hours) AS node_hours, sum(gpus * hours) AS gpu_hours,
       (SELECT sum(joules) FROM energy WHERE run IN (SELECT run FROM answer b WHERE b.study = attempts.study)) AS energy_joules
FROM attempts GROUP BY study ORDER BY study
