SELECT DISTINCT version, split, made, plan, run, source
FROM answer JOIN made USING (target) ORDER BY version, split, made, plan, source
