WITH runs AS (
  SELECT run, any_value(study) AS study, max(gpus::DOUBLE) AS gpus, max(per_node::DOUBLE) AS per_node, max(joules::DOUBLE) AS joules
  FROM answer WHERE run IS NOT NULL GROUP BY run
), places AS (
  SELECT DISTINCT attempt, unit, within FROM answer WHERE attempt IS NOT NULL
), own AS (
  SELECT t.run, t.attempt, t.restart, (SELECT count(DISTINCT host) FROM ranks r WHERE r.attempt = t.attempt) AS nodes,
         coalesce(date_diff('microsecond', t.started, coalesce(t.ended, (SELECT max(ended) FROM ranks r WHERE r.attempt = t.attempt))), 0) / 3.6e9 AS hours
  FROM attempts t
), placed AS (
  SELECT o.*, study, CASE WHEN s.elapsed_seconds IS NOT NULL THEN p.unit WHEN j.elapsed_seconds IS NOT NULL THEN p.within END AS unit,
         coalesce(runs.gpus, per_node * o.nodes, 0) AS gpus, runs.joules AS fact
  FROM own o JOIN runs USING (run) LEFT JOIN places p USING (attempt)
  LEFT JOIN accounts s ON s.unit = p.unit AND s.restart = o.restart LEFT JOIN accounts j ON j.unit = p.within AND j.restart = o.restart
), counters AS (
  SELECT run, sum(joules) AS joules FROM (
    SELECT run, series, max(value) - min(value) AS joules FROM points WHERE name = 'energy' AND isfinite(value) GROUP BY run, series)
  GROUP BY run
), billed AS (
  SELECT study, d.unit, d.restart, count(DISTINCT run) AS runs, any_value(c.nodes * c.elapsed_seconds / 3600) AS node_hours,
         any_value(coalesce(c.requested_gpus, d.gpus) * c.elapsed_seconds / 3600) AS gpu_hours, any_value(c.joules) AS joules
  FROM (SELECT study, unit, restart, run, max(gpus) AS gpus FROM placed WHERE unit IS NOT NULL GROUP BY ALL) d
  JOIN accounts c USING (unit, restart) GROUP BY study, d.unit, d.restart
), measured AS (
  SELECT run, any_value(study) AS study, coalesce(any_value(k.joules), any_value(fact)) AS joules
  FROM placed LEFT JOIN counters k USING (run) GROUP BY run
  HAVING NOT bool_or(unit IN (SELECT unit FROM billed WHERE joules > 0))
), costs AS (
  SELECT study, node_hours, gpu_hours, joules FROM billed
  UNION ALL SELECT study, nodes * hours, gpus * hours, NULL FROM placed WHERE unit IS NULL
  UNION ALL SELECT study, NULL, NULL, joules FROM measured
)
SELECT study, (SELECT count(*) FROM runs WHERE runs.study = costs.study) AS runs, sum(node_hours) AS node_hours,
       sum(gpu_hours) AS gpu_hours, sum(joules) AS energy_joules
FROM costs GROUP BY study ORDER BY study
