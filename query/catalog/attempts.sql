SELECT restart, (SELECT max(job) FROM answer a WHERE a.attempt = t.attempt) AS job, ranks, started, ended,
       failed_ranks AS failures, state, exit_status, signal, error
FROM attempts t ORDER BY restart
