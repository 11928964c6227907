SELECT a.name, a.rank, arg_max(p.step, p.at_ns) AS step, arg_max(p.value, p.at_ns) AS value,
       max(make_timestamp(p.at_ns // 1000)) AS "at", any_value(a.host) AS host
FROM answer a JOIN points p ON p.series = right(a.series, 32) GROUP BY a.name, a.rank ORDER BY a.name, a.rank
