WITH parts AS (
  SELECT run, name, job, restart, max(restart) OVER (PARTITION BY run) AS latest, ended, error
  FROM answer WHERE part IS NOT NULL
), states AS (
  SELECT run, any_value(name) AS name, any_value(job) AS job,
         CASE WHEN count(error) > 0 THEN 'failed' WHEN count(ended) < count(*) THEN 'unfinished' END AS state
  FROM parts WHERE restart = latest GROUP BY run
), last AS (
  SELECT * FROM (SELECT run, path, step, size, modified FROM answer WHERE path IS NOT NULL)
  QUALIFY row_number() OVER (PARTITION BY run ORDER BY modified DESC, step DESC) = 1
), resumed AS (
  SELECT run, string_agg(DISTINCT resumed_by, ', ' ORDER BY resumed_by) AS resumed_by FROM answer GROUP BY run
)
SELECT run, name, state, job, path, step, size, modified, resumed_by
FROM states LEFT JOIN last USING (run) LEFT JOIN resumed USING (run)
WHERE state IS NOT NULL ORDER BY run
