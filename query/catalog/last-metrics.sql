WITH latest AS (
  SELECT a.name, a.rank, a.host, a.series, coalesce(r.restart, -1) AS restart, r.started FROM answer a LEFT JOIN ranks r USING (agent)
  WHERE a.series IS NOT NULL QUALIFY coalesce(r.restart, -1) = max(coalesce(r.restart, -1)) OVER (PARTITION BY a.name)
), told AS (
  SELECT l.name, l.rank, l.host, l.started, arg_max(struct_pack(step := p.step, value := p.value, at_ns := p.at_ns), p.seq) AS point
  FROM latest l JOIN points p ON p.series = right(l.series, 32) GROUP BY l.name, l.rank, l.host, l.started, l.series
)
SELECT name, rank, point.step AS step, point.value AS value, make_timestamp(point.at_ns // 1000) AS "at", host FROM told
QUALIFY row_number() OVER (PARTITION BY name, rank ORDER BY started DESC) = 1
ORDER BY name, rank
