SELECT coalesce(own_end, rank_end) AS ended, rank, host, plan, index, e.state, coalesce(own_error, told) AS error
FROM ends e JOIN (SELECT DISTINCT a, rank, host, plan, index FROM answer) USING (a)
WHERE e.state NOT IN ('completed', 'running', 'unfinished') ORDER BY ended, rank, plan
