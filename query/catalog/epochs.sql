WITH sections AS (
  SELECT DISTINCT training, restart, index, rank, started, ended FROM answer
), told AS (
  SELECT s.training, s.restart, s.index, s.rank, p.value, p.at_ns
  FROM sections s JOIN points p
    ON p.rank = s.rank AND make_timestamp(p.at_ns // 1000) >= s.started AND make_timestamp(p.at_ns // 1000) <= coalesce(s.ended, 'infinity'::TIMESTAMP)
  WHERE p.name = $metric
  UNION ALL
  SELECT training, restart, index, rank, value::DOUBLE, 0 FROM answer WHERE value IS NOT NULL
), last AS (
  SELECT training, restart, index, rank, arg_max(value, at_ns) AS last,
         min(value) AS least, max(value) FILTER (NOT isnan(value)) AS most, count(*) AS points
  FROM told GROUP BY ALL
), times AS (
  SELECT training, restart, index, count(DISTINCT rank) AS ranks,
         date_diff('microsecond', min(started), max(ended)) / 1e6 AS seconds
  FROM sections GROUP BY ALL
)
SELECT training, restart, index, any_value(seconds) AS seconds, avg(last) AS value,
       min(least) AS least, max(most) AS most, coalesce(sum(points), 0)::BIGINT AS points,
       any_value(ranks) AS ranks
FROM times LEFT JOIN last USING (training, restart, index)
GROUP BY training, restart, index ORDER BY training, restart, index
