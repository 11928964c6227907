SELECT host, count(DISTINCT rank) AS ranks, max(seconds) FILTER (kind = 'workflow') AS seconds,
       sum(seconds) FILTER (kind = 'workflow') / count(DISTINCT rank) AS mean,
       coalesce(sum(seconds) FILTER (kind IN ('training', 'validation', 'evaluation', 'feature_extraction')), 0)
         / count(DISTINCT rank) AS stage_mean
FROM answer GROUP BY host ORDER BY seconds DESC NULLS LAST, host
