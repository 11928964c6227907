-- accounts: what Slurm says of each unit (a job or step) in each restart: of several tellings the
-- final one counts, then sacct's before scontrol's before squeue's, then the latest.
CREATE VIEW tellings AS
SELECT unit, account,
       max(value) FILTER (property = 'restart')::BIGINT AS restart,
       max(value) FILTER (property = 'state') AS slurm,
       max(value) FILTER (property = 'outcome') AS outcome,
       max(value) FILTER (property = 'began')::TIMESTAMP AS began,
       max(value) FILTER (property = 'finished')::TIMESTAMP AS finished,
       max(value) FILTER (property = 'observedAt')::TIMESTAMP AS observed,
       max(value) FILTER (property = 'exitStatus')::BIGINT AS exit_status,
       max(value) FILTER (property = 'signal')::BIGINT AS signal,
       max(value) FILTER (property = 'elapsedSeconds')::DOUBLE AS elapsed_seconds,
       max(value) FILTER (property = 'cpuSeconds')::DOUBLE AS cpu_seconds,
       max(value) FILTER (property = 'maxRssBytes')::BIGINT AS max_rss_bytes,
       max(value) FILTER (property = 'consumedEnergyJoules')::DOUBLE AS joules,
       max(value) FILTER (property = 'nodes')::BIGINT AS nodes,
       max(value) FILTER (property = 'tasks')::BIGINT AS tasks,
       max(value) FILTER (property = 'requestedCpus')::BIGINT AS requested_cpus,
       max(value) FILTER (property = 'requestedMemoryBytes')::BIGINT AS requested_memory_bytes,
       max(value) FILTER (property = 'requestedGpus')::BIGINT AS requested_gpus,
       max(value) FILTER (property = 'requestedSeconds')::DOUBLE AS requested_seconds,
       max(value) FILTER (property = 'jobName') AS job_name,
       max(value) FILTER (property = 'partition') AS "partition",
       max(value) FILTER (property = 'nodelist') AS nodelist,
       max(value) FILTER (property = 'reason') AS reason,
       max(CASE WHEN property = 'outcome' THEN 1000 ELSE 0 END)
         + max(CASE value WHEN 'sacct' THEN 200 WHEN 'scontrol' THEN 100 ELSE 0 END) FILTER (property = 'source') AS trust
FROM (SELECT DISTINCT unit, account, property, value::VARCHAR AS value FROM answer WHERE account IS NOT NULL)
GROUP BY unit, account;
CREATE VIEW trusted AS
SELECT *, row_number() OVER (PARTITION BY unit, restart ORDER BY trust, observed NULLS FIRST, account) AS weight FROM tellings;
CREATE VIEW accounts AS
SELECT unit, restart, arg_max(slurm, weight) AS slurm, arg_max(outcome, weight) AS outcome, arg_max(began, weight) AS began,
       arg_max(finished, weight) AS finished, arg_max(exit_status, weight) AS exit_status, arg_max(signal, weight) AS signal,
       arg_max(elapsed_seconds, weight) AS elapsed_seconds, arg_max(cpu_seconds, weight) AS cpu_seconds,
       arg_max(max_rss_bytes, weight) AS max_rss_bytes, arg_max(joules, weight) AS joules, arg_max(nodes, weight) AS nodes,
       arg_max(tasks, weight) AS tasks, arg_max(requested_cpus, weight) AS requested_cpus,
       arg_max(requested_memory_bytes, weight) AS requested_memory_bytes, arg_max(requested_gpus, weight) AS requested_gpus,
       arg_max(requested_seconds, weight) AS requested_seconds, arg_max(job_name, weight) AS job_name,
       arg_max("partition", weight) AS "partition", arg_max(nodelist, weight) AS nodelist, arg_max(reason, weight) AS reason
FROM trusted GROUP BY unit, restart
