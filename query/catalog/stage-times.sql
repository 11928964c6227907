SELECT kind, plan, sum(executions)::BIGINT AS executions, count(DISTINCT rank) AS ranks,
       sum(seconds) AS seconds, sum(seconds) / sum(executions) AS mean, max(longest) AS longest,
       arg_max(rank, seconds) AS slowest_rank
FROM answer GROUP BY kind, plan ORDER BY seconds DESC, kind, plan
