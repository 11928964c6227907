WITH units AS (
  SELECT unit, max(name) AS name FROM answer WHERE name IS NOT NULL GROUP BY unit
), tried AS (
  SELECT a.unit, t.restart, count(DISTINCT t.run) AS runs, sum(t.ranks) AS ranks, min(t.started) AS started,
         CASE WHEN count(t.ended) = count(*) THEN max(t.ended) END AS ended,
         arg_min(t.state, severity) AS state, arg_min(t.exit_status, severity) AS exit_status, arg_min(t.signal, severity) AS signal
  FROM (SELECT DISTINCT unit, attempt FROM answer WHERE attempt IS NOT NULL) a JOIN attempts t USING (attempt) LEFT JOIN words USING (state)
  GROUP BY a.unit, t.restart
), hosts AS (
  SELECT a.unit, r.restart, count(DISTINCT host) AS nodes, string_agg(DISTINCT host, ',' ORDER BY host) AS nodelist
  FROM (SELECT DISTINCT unit, attempt FROM answer WHERE attempt IS NOT NULL) a JOIN ranks r USING (attempt) GROUP BY a.unit, r.restart
), known AS (
  SELECT unit, restart FROM tried UNION SELECT unit, restart FROM accounts
)
SELECT u.name, k.restart, coalesce(c.outcome, t.state, lower(c.slurm)) AS state, c.slurm, coalesce(t.runs, 0) AS runs, t.ranks,
       coalesce(c.nodes, h.nodes) AS nodes, coalesce(c.nodelist, h.nodelist) AS nodelist,
       coalesce(c.began, t.started) AS started, coalesce(c.finished, t.ended) AS ended,
       coalesce(c.elapsed_seconds, date_diff('microsecond', t.started, t.ended) / 1e6) AS elapsed_seconds,
       coalesce(c.exit_status, t.exit_status) AS exit_status, coalesce(c.signal, t.signal) AS signal, c.reason
FROM units u LEFT JOIN known k USING (unit) LEFT JOIN tried t USING (unit, restart)
LEFT JOIN hosts h USING (unit, restart) LEFT JOIN accounts c USING (unit, restart)
ORDER BY k.restart, length(u.name), u.name
