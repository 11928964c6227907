WITH sections AS (
  SELECT DISTINCT training, restart, index, rank, started, ended FROM answer WHERE index = $index
), told AS (
  SELECT s.training, s.restart, s.index, s.rank, p.value, p.at_ns
  FROM sections s JOIN points p
    ON p.rank = s.rank AND make_timestamp(p.at_ns // 1000) >= s.started AND make_timestamp(p.at_ns // 1000) <= coalesce(s.ended, 'infinity'::TIMESTAMP)
  WHERE p.name = $metric
  UNION ALL
  SELECT training, restart, index, rank, value::DOUBLE, 0
  FROM answer WHERE index = $index AND value IS NOT NULL
)
SELECT training, restart, index, rank, arg_max(value, at_ns) AS value
FROM told GROUP BY training, restart, index, rank ORDER BY training, restart, rank
