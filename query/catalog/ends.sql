-- ends: executions of the answer (a, agent, ended, error), each with how it ended: by itself, else
-- with its rank; one that its rank left open without a word is unfinished.
CREATE VIEW executions AS
SELECT DISTINCT a.a, a.agent, a.ended::TIMESTAMP AS own_end, a.error::VARCHAR AS own_error, r.restart, r.part,
       r.ended AS rank_end, r.told,
       CASE WHEN a.a = r.part THEN r.state WHEN a.error IS NOT NULL THEN 'failed' WHEN a.ended IS NOT NULL THEN 'completed'
            WHEN r.state = 'completed' THEN 'unfinished' ELSE r.state END AS state
FROM answer a JOIN ranks r USING (agent) WHERE a.a IS NOT NULL;
CREATE VIEW ends AS SELECT * FROM executions LEFT JOIN words USING (state)
