SELECT state, ranks, ended_ranks, failed_ranks, exit_status, signal, failures, lost
FROM attempts, answer WHERE latest
