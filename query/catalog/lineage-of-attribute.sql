WITH made AS (SELECT a, plan, rank, value::VARCHAR AS value FROM answer WHERE value IS NOT NULL),
read AS (SELECT DISTINCT a, input, "from"::VARCHAR AS "from" FROM answer WHERE input IS NOT NULL)
SELECT DISTINCT plan, rank, value, input, "from" FROM made LEFT JOIN read USING (a)
ORDER BY plan, rank, value, input, "from"
