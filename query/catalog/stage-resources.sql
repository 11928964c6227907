SELECT kind, plan, rank, any_value(host) AS host, count(*) AS executions,
       sum(date_diff('microsecond', started, ended)) / 1e6 AS seconds, sum(cpu::DOUBLE) AS cpu_seconds,
       sum(cpu::DOUBLE) / nullif(sum(date_diff('microsecond', started, ended)) / 1e6, 0) AS cores,
       max(most::DOUBLE)::BIGINT AS max_rss_bytes, sum(read::DOUBLE)::BIGINT AS read_bytes,
       sum(written::DOUBLE)::BIGINT AS written_bytes
FROM answer GROUP BY kind, plan, rank ORDER BY cpu_seconds DESC, kind, plan, rank
