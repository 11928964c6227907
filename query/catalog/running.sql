SELECT a.run, any_value(a.name) AS name, any_value(study) AS study, any_value(job) AS job,
       CASE WHEN bool_or(r.state = 'running') THEN 'running' ELSE 'unfinished' END AS state,
       string_agg(DISTINCT host, ', ' ORDER BY host) AS nodes, count(DISTINCT rank) AS open_ranks,
       min(started) AS since, any_value(stage) AS stage, max(index) AS index, max(n) AS planned
FROM answer a JOIN ranks r USING (part) WHERE r.state IN ('running', 'unfinished') GROUP BY a.run ORDER BY since, a.run
