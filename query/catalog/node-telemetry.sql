WITH sampled AS (
  SELECT a.host, a.name, a.unit, a.unit IN ('B', 'J') AS counts, a.series, count(*) AS samples,
         min(p.value) AS least, max(p.value) AS most, sum(p.value) AS total
  FROM answer a JOIN points p ON p.series = right(a.series, 32)
  WHERE regexp_matches(a.name, '^(node_.*|gpu[0-9]+_.*|(cpu_)?energy)$') AND isfinite(p.value)
  GROUP BY a.host, a.name, a.unit, a.series
)
SELECT host, name, unit, sum(samples)::BIGINT AS samples,
       min(least) FILTER (NOT counts) AS least, sum(total) FILTER (NOT counts) / sum(samples) AS mean,
       max(most) FILTER (NOT counts) AS most, sum(most - least) FILTER (counts) AS grown
FROM sampled GROUP BY host, name, unit ORDER BY host, name
