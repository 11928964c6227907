WITH units AS (
  SELECT unit, max(whole) AS whole FROM answer WHERE account IS NOT NULL GROUP BY unit
), jobs AS (
  SELECT unit AS whole, max(job) AS job FROM answer WHERE job IS NOT NULL GROUP BY unit
), steps AS (
  SELECT whole, restart, sum(cpu_seconds) AS cpu_seconds, max(max_rss_bytes * coalesce(tasks, 1)) AS memory
  FROM units JOIN accounts USING (unit) WHERE unit <> whole GROUP BY whole, restart
), told AS (
  SELECT c.unit AS whole, c.restart, c.requested_cpus, c.requested_memory_bytes, c.requested_gpus, c.requested_seconds,
         c.elapsed_seconds, coalesce(c.cpu_seconds, s.cpu_seconds) AS cpu_seconds,
         coalesce(s.memory, c.max_rss_bytes * coalesce(c.tasks, 1)) AS memory
  FROM accounts c JOIN jobs ON jobs.whole = c.unit LEFT JOIN steps s ON s.whole = c.unit AND s.restart = c.restart
), used AS (
  SELECT restart, sum(cpu) AS cpu_seconds, sum(memory) AS memory, date_diff('microsecond', min(started), max(ended)) / 1e6 AS seconds
  FROM (
    SELECT r.restart, rank, max(cpu::DOUBLE) AS cpu, max(memory::BIGINT) AS memory, min(r.started) AS started, max(r.ended) AS ended
    FROM answer JOIN ranks r USING (part) GROUP BY r.restart, rank)
  GROUP BY restart
), gpus AS (
  SELECT sum(mean) AS gpus FROM (
    SELECT avg(p.value) / 100 AS mean FROM answer a JOIN points p ON p.series = right(a.series, 32)
    WHERE a.series IS NOT NULL AND isfinite(p.value) GROUP BY a.series)
), compared AS (
  SELECT job, u.restart, t.* EXCLUDE (whole, restart), u.seconds, u.cpu_seconds AS own_cpu, u.memory AS own_memory
  FROM used u CROSS JOIN jobs LEFT JOIN told t ON t.whole = jobs.whole AND t.restart = u.restart
), rows AS (
  SELECT job, restart, 1 AS place, 'cpus' AS resource, 'CPU' AS unit, requested_cpus::DOUBLE AS requested,
         coalesce(cpu_seconds / nullif(elapsed_seconds, 0), own_cpu / nullif(seconds, 0)) AS used,
         CASE WHEN cpu_seconds IS NOT NULL AND elapsed_seconds > 0 THEN 'Slurm' WHEN own_cpu IS NOT NULL THEN 'ranks' END AS source
  FROM compared
  UNION ALL
  SELECT job, restart, 2, 'memory', 'byte', requested_memory_bytes, coalesce(own_memory, memory),
         CASE WHEN own_memory IS NOT NULL THEN 'ranks' WHEN memory IS NOT NULL THEN 'Slurm' END FROM compared
  UNION ALL
  SELECT job, restart, 3, 'gpus', 'GPU', requested_gpus, gpus, CASE WHEN gpus IS NOT NULL THEN 'telemetry' END FROM compared, gpus
  UNION ALL
  SELECT job, restart, 4, 'time', 's', requested_seconds, coalesce(elapsed_seconds, seconds),
         CASE WHEN elapsed_seconds IS NOT NULL THEN 'Slurm' WHEN seconds IS NOT NULL THEN 'ranks' END FROM compared
)
SELECT job, restart, resource, unit, requested, used, used / nullif(requested, 0) AS share, source
FROM rows WHERE requested IS NOT NULL OR used IS NOT NULL ORDER BY restart, place
