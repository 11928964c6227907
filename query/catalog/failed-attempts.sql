WITH named AS (
  SELECT run, any_value(name) AS name FROM answer GROUP BY run
), lost AS (
  SELECT t.run, n.name, (SELECT max(job) FROM answer a WHERE a.attempt = t.attempt) AS job, t.restart, t.state, t.started, t.ended,
         date_diff('microsecond', t.started, t.ended) / 1e6 AS seconds,
         (SELECT count(DISTINCT host) FROM ranks r WHERE r.attempt = t.attempt) AS nodes, t.exit_status, t.signal, t.error
  FROM attempts t JOIN named n USING (run) WHERE t.state NOT IN ('completed', 'running', 'unfinished')
)
SELECT * EXCLUDE (nodes, exit_status, signal, error), nodes * seconds / 3600 AS node_hours, exit_status, signal, error
FROM lost ORDER BY started, run
