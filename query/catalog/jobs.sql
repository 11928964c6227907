WITH units AS (
  SELECT unit, max(job) AS job, max(cluster) AS cluster, max("array") AS "array" FROM answer WHERE job IS NOT NULL GROUP BY unit
), tried AS (
  SELECT a.unit, t.restart, count(DISTINCT t.run) AS runs, min(t.started) AS started,
         CASE WHEN count(t.ended) = count(*) THEN max(t.ended) END AS ended, arg_min(t.state, severity) AS state
  FROM (SELECT DISTINCT unit, attempt FROM answer WHERE attempt IS NOT NULL) a JOIN attempts t USING (attempt) LEFT JOIN words USING (state)
  GROUP BY a.unit, t.restart
), known AS (
  SELECT unit, restart FROM tried UNION SELECT unit, restart FROM accounts
), told AS (
  SELECT u.job, u.cluster, c.job_name, c."partition", u."array", coalesce(k.restart, 0) AS restarts,
         coalesce(c.outcome, t.state, lower(c.slurm)) AS state,
         coalesce(t.runs, 0) AS runs, c.nodes,
         coalesce(c.began, t.started) AS started, coalesce(c.finished, t.ended) AS ended,
         coalesce(c.elapsed_seconds, date_diff('microsecond', t.started, t.ended) / 1e6) AS elapsed_seconds,
         c.exit_status, c.signal
  FROM units u LEFT JOIN known k USING (unit) LEFT JOIN tried t USING (unit, restart) LEFT JOIN accounts c USING (unit, restart)
  QUALIFY row_number() OVER (PARTITION BY unit ORDER BY k.restart DESC NULLS LAST) = 1
)
SELECT * FROM told WHERE $state = '' OR state = $state ORDER BY started, job
