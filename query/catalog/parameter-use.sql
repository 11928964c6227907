SELECT plan, name, direction, value, executions, ranks
FROM (SELECT v, sum(executions)::BIGINT AS executions, count(DISTINCT rank) AS ranks
      FROM answer WHERE executions IS NOT NULL GROUP BY v)
JOIN (SELECT v, plan, name, direction, value FROM answer WHERE name IS NOT NULL) USING (v)
ORDER BY plan, name, value
