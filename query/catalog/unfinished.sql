WITH named AS (
  SELECT run, any_value(name) AS name, any_value(job) AS job FROM answer GROUP BY run
), states AS (
  SELECT run, name, job, state FROM attempts JOIN named USING (run) WHERE latest AND state <> 'completed'
), last AS (
  SELECT * FROM (SELECT run, path, step, size, modified FROM answer WHERE path IS NOT NULL)
  QUALIFY row_number() OVER (PARTITION BY run ORDER BY modified DESC, step DESC) = 1
), resumed AS (
  SELECT run, string_agg(DISTINCT resumed_by, ', ' ORDER BY resumed_by) AS resumed_by FROM answer GROUP BY run
)
SELECT run, name, state, job, path, step, size, modified, resumed_by
FROM states LEFT JOIN last USING (run) LEFT JOIN resumed USING (run)
ORDER BY run
