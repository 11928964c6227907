WITH counted AS (
  SELECT a.host, a.name, a.rank, a.series, max(p.value) - min(p.value) AS joules, min(p.at_ns) AS began, max(p.at_ns) AS ended
  FROM answer a JOIN points p ON p.series = right(a.series, 32)
  WHERE regexp_matches(a.name, '^(.+_)?energy$') AND isfinite(p.value)
  GROUP BY a.host, a.name, a.rank, a.series
)
SELECT host, name, sum(joules) AS joules, (max(ended) - min(began)) / 1e9 AS seconds,
       sum(joules) / nullif((max(ended) - min(began)) / 1e9, 0) AS watts, count(DISTINCT rank) AS ranks
FROM counted GROUP BY host, name ORDER BY host, name
