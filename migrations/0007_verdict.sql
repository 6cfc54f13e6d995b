-- Verdicts that the hub states itself, for whoever checks elsewhere.
-- oldest_binary: 1

ALTER TABLE project ADD COLUMN attach_verdicts BOOLEAN NOT NULL DEFAULT FALSE;

-- What states the verdict about a manifest now, and when that is to be looked at again. The subject may be gone: then
-- what states something about it goes, too.
CREATE TABLE attached_verdict (
    repository_id TEXT NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    subject       TEXT NOT NULL, -- digest
    carrier       TEXT NOT NULL DEFAULT '', -- digest of the manifest that states it; '' = nothing does
    basis         TEXT NOT NULL DEFAULT '', -- of all that is stated but the time
    spread        BOOLEAN NOT NULL DEFAULT FALSE, -- the indexes above and what is listed below are to be looked at, too
    turn          BIGINT NOT NULL DEFAULT 0, -- grows when it becomes owed and when it is taken: only the last one settles it
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT, -- NULL: nothing is owed
    PRIMARY KEY (repository_id, subject)
);
CREATE INDEX attached_verdict_due ON attached_verdict (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX attached_verdict_carrier ON attached_verdict (repository_id, carrier) WHERE carrier <> '';

-- Projects of which everything is to be looked at again, and how far that has come.
CREATE TABLE verdict_sweep (
    project_id       TEXT PRIMARY KEY REFERENCES project (id) ON DELETE CASCADE,
    after_repository TEXT NOT NULL DEFAULT '',
    after_digest     TEXT NOT NULL DEFAULT '',
    due_at           BIGINT NOT NULL
);
CREATE INDEX verdict_sweep_due ON verdict_sweep (due_at);
