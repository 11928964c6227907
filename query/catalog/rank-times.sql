SELECT rank, host, sum(seconds) FILTER (kind = 'workflow') AS seconds,
       coalesce(sum(seconds) FILTER (kind = 'training'), 0) AS training_seconds
FROM answer GROUP BY rank, host ORDER BY seconds DESC NULLS LAST, rank
