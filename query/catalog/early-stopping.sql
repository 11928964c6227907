WITH trainings AS (
  SELECT t, any_value("of") AS "of", any_value(training) AS training, any_value(trial) AS trial,
         count(ended) > 0 AND count(error) = 0 AS in_order, max(n)::DOUBLE::BIGINT AS planned
  FROM answer GROUP BY t
), done AS (SELECT t, index FROM answer WHERE index IS NOT NULL)
SELECT training, trial, max(planned) AS planned, count(DISTINCT index) AS done, max(index) AS last
FROM trainings LEFT JOIN done USING (t) WHERE "of" IS NOT NULL
GROUP BY "of", training, trial
HAVING bool_and(in_order) AND count(DISTINCT index) < max(planned) ORDER BY training, trial
