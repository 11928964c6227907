SELECT run, any_value(name) AS name, any_value(study) AS study, any_value(job) AS job,
       count(DISTINCT part) AS open_ranks, min(since) AS since, any_value(stage) AS stage,
       max(index) AS index, max(n) AS planned
FROM answer GROUP BY run ORDER BY since, run
