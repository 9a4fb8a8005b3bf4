-- Whether tokens and cost of a run hold what no provider reported, counted at its bound. Journals from before tell it of
-- calls that ended well; broken ones did not say it yet.

ALTER TABLE runs ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;

UPDATE runs SET estimated = 1 WHERE EXISTS (
    SELECT 1 FROM events
    WHERE events.tenant = runs.tenant AND events.run = runs.run AND events.kind = 'model.finished'
      AND instr(events.body, CAST('"usage_estimated":true' AS BLOB)) > 0
);
