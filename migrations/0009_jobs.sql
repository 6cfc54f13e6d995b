-- Jobs as a service: whom they are for, caps over all processes, what they report, schedules.
-- oldest_binary: 1

ALTER TABLE job ADD COLUMN project_id TEXT NOT NULL DEFAULT ''; -- '': of the hub
ALTER TABLE job ADD COLUMN target TEXT NOT NULL DEFAULT ''; -- whom it talks to; '': nobody in particular
ALTER TABLE job ADD COLUMN slots TEXT NOT NULL DEFAULT ''; -- names of the slots that the last claim took, each in a line
ALTER TABLE job ADD COLUMN done BIGINT NOT NULL DEFAULT 0; -- of total, in whatever it counts
ALTER TABLE job ADD COLUMN total BIGINT NOT NULL DEFAULT 0; -- 0: not known
ALTER TABLE job ADD COLUMN log_lines BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN log_bytes BIGINT NOT NULL DEFAULT 0;
-- The order in which a kind is worked off.
CREATE INDEX job_next ON job (kind, priority DESC, run_at) WHERE state = 'queued';
CREATE INDEX job_kind ON job (kind, id);
CREATE INDEX job_project ON job (project_id, id) WHERE project_id <> '';

-- How many jobs of a kind, or of a kind for one target (kind/target), run in all processes. A claim counts up while there
-- is room, in its transaction; the end of the job or of its lease counts down.
CREATE TABLE slot (
    name TEXT PRIMARY KEY,
    busy BIGINT NOT NULL,
    most BIGINT NOT NULL
);

CREATE TABLE job_log (
    job_id  TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL, -- 1 is the first
    at      BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    line    TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Jobs that are made at times. Whoever moves next_at on makes the job, in the same transaction: no leader is needed.
CREATE TABLE cron (
    name       TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    spec       TEXT NOT NULL, -- five fields, UTC unless CRON_TZ= stands before them
    payload    TEXT NOT NULL, -- JSON
    project_id TEXT NOT NULL DEFAULT '',
    target     TEXT NOT NULL DEFAULT '',
    paused     BOOLEAN NOT NULL DEFAULT FALSE,
    next_at    BIGINT NOT NULL,
    last_at    BIGINT, -- the slot for which a job was made last
    last_job   TEXT NOT NULL DEFAULT ''
);
