WITH tasks AS (
  SELECT unit, max(task) AS task FROM answer WHERE task IS NOT NULL GROUP BY unit
), members AS (
  SELECT unit, run, max(name::VARCHAR) AS name FROM answer WHERE run IS NOT NULL GROUP BY unit, run
), results AS (
  SELECT run, CASE WHEN $best = 'highest' THEN max(highest) ELSE min(lowest) END AS result FROM units GROUP BY run
), latest AS (
  SELECT * FROM accounts QUALIFY row_number() OVER (PARTITION BY unit ORDER BY restart DESC) = 1
)
SELECT k.task, m.run, m.name, coalesce(t.restart, c.restart, 0) AS restarts, coalesce(t.state, c.outcome, lower(c.slurm)) AS state, c.slurm,
       coalesce(c.elapsed_seconds, date_diff('microsecond', t.started, t.ended) / 1e6) AS elapsed_seconds,
       coalesce(c.exit_status, t.exit_status) AS exit_status, coalesce(c.signal, t.signal) AS signal, e.result
FROM tasks k LEFT JOIN members m USING (unit) LEFT JOIN results e ON e.run = m.run LEFT JOIN (SELECT * FROM attempts WHERE latest) t ON t.run = m.run LEFT JOIN latest c ON c.unit = k.unit
ORDER BY length(k.task), k.task, m.run
