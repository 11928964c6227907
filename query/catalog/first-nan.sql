WITH found AS (
  SELECT make_timestamp(p.at_ns // 1000) AS "at", a.name, a.rank, p.step, p.value, a.plan
  FROM answer a JOIN points p ON p.series = right(a.series, 32) WHERE NOT isfinite(p.value)
  UNION ALL
  SELECT "at"::TIMESTAMP, name, rank, step::BIGINT, value::DOUBLE, plan FROM answer WHERE series IS NULL
)
SELECT "at", name, rank, step, value, plan FROM found
QUALIFY row_number() OVER (PARTITION BY name, rank, plan ORDER BY "at") = 1
ORDER BY "at", name, rank
