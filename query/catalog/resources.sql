WITH told AS (
  SELECT a.name, 'series' AS source, a.rank, p.value, a.unit
  FROM answer a JOIN points p ON p.series = right(a.series, 32) WHERE isfinite(p.value)
  UNION ALL
  SELECT split_part(fact, '=', 1), 'fact', NULL, try_cast(split_part(fact, '=', 2) AS DOUBLE), NULL
  FROM answer WHERE fact IS NOT NULL
)
SELECT name, source, count(DISTINCT rank) AS ranks, min(value) AS least, avg(value) AS mean,
       max(value) AS most, any_value(unit) AS unit
FROM told
WHERE value IS NOT NULL
  AND regexp_matches(name, '(^|[_./])(memory|mem|rss|maxrss|max_rss|vsz|cpu|cpus|disk|read|write|written|io|gpu|power|energy)([_./]|$)', 'i')
GROUP BY name, source ORDER BY name, source
