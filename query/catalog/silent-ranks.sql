WITH signs AS (
  SELECT r.rank, r.host, a.now, greatest(a.last, max(make_timestamp(p.at_ns // 1000))) AS last_sign
  FROM answer a JOIN ranks r USING (agent) LEFT JOIN points p ON p.rank = r.rank
  WHERE r.state IN ('running', 'unfinished') GROUP BY r.rank, r.host, a.now, a.last
)
SELECT rank, host, last_sign, date_diff('microsecond', last_sign, now) / 1e6 AS silent_seconds,
       (SELECT arg_max(slurm, asked) FROM answer) AS slurm, (SELECT max(asked::TIMESTAMP) FROM answer) AS asked
FROM signs WHERE silent_seconds > $seconds ORDER BY silent_seconds DESC, rank
