WITH signs AS (
  SELECT a.rank, a.host, a.now, greatest(a.last, max(make_timestamp(p.at_ns // 1000))) AS last_sign
  FROM answer a LEFT JOIN points p ON p.rank = a.rank GROUP BY a.rank, a.host, a.now, a.last
)
SELECT rank, host, last_sign, date_diff('microsecond', last_sign, now) / 1e6 AS silent_seconds
FROM signs WHERE silent_seconds > $seconds ORDER BY silent_seconds DESC, rank
