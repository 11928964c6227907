SELECT plan, name, direction, value, executions, ranks
FROM (SELECT v, executions, ranks FROM answer WHERE executions IS NOT NULL)
JOIN (SELECT v, plan, name, direction, value FROM answer WHERE name IS NOT NULL) USING (v)
ORDER BY plan, name, value
