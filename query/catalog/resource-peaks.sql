WITH facts AS (
  SELECT split_part(fact, '=', 1) AS name, fact FROM answer WHERE fact IS NOT NULL
), peaks AS (
  SELECT a.name, a.unit, a.rank, a.host, max(p.value) AS peak, arg_max(make_timestamp(p.at_ns // 1000), p.value) AS "at"
  FROM answer a JOIN points p ON p.series = right(a.series, 32)
  WHERE regexp_matches(a.name, 'memory|rss|gpu', 'i') AND isfinite(p.value)
  GROUP BY a.name, a.unit, a.rank, a.host
)
SELECT name, unit, peak, rank, host, "at",
       (SELECT string_agg(fact, ', ' ORDER BY fact) FROM facts
        WHERE CASE WHEN contains(lower(peaks.name), 'gpu') THEN regexp_matches(facts.name, 'gpu|gres|tres', 'i')
                   ELSE regexp_matches(facts.name, 'mem', 'i') AND NOT regexp_matches(facts.name, 'gpu', 'i') END) AS requested
FROM peaks ORDER BY name, peak DESC, rank
