-- The hub itself: what it remembers about itself, its keys, its jobs, and who did what.
-- oldest_binary: 1

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Keys of the hub, sealed under the master key (core/seal): token signing and whatever else must survive a restart.
CREATE TABLE secret (
    id         TEXT PRIMARY KEY,
    purpose    TEXT NOT NULL,
    sealed     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retire_at  BIGINT -- not used for new signatures after this; NULL: current
);
CREATE INDEX secret_purpose ON secret (purpose, created_at);

CREATE TABLE job (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    unique_key  TEXT, -- at most one unfinished job has it
    state       TEXT NOT NULL, -- queued, running, done, failed, dead, cancelled
    priority    BIGINT NOT NULL DEFAULT 0,
    payload     TEXT NOT NULL, -- JSON
    progress    BIGINT NOT NULL DEFAULT 0, -- percent
    message     TEXT NOT NULL DEFAULT '', -- what it is doing
    error       TEXT NOT NULL DEFAULT '', -- why the last try failed
    attempts    BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL,
    run_at      BIGINT NOT NULL, -- not before
    lease_until BIGINT, -- while running
    fence       BIGINT NOT NULL DEFAULT 0, -- grows with every claim
    worker      TEXT NOT NULL DEFAULT '',
    cancel      BOOLEAN NOT NULL DEFAULT FALSE, -- asked to stop
    created_at  BIGINT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT
);
CREATE INDEX job_due ON job (run_at) WHERE state = 'queued';
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';
CREATE UNIQUE INDEX job_unique ON job (unique_key) WHERE unique_key IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX job_state ON job (state, id);
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

-- The newest slot (time divided by interval) for which a scheduled job was made: several processes make one.
CREATE TABLE schedule (
    kind TEXT PRIMARY KEY,
    slot BIGINT NOT NULL
);

CREATE TABLE audit (
    id         TEXT PRIMARY KEY, -- UUIDv7: in order of time
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL, -- kind:id
    actor_name TEXT NOT NULL,
    credential TEXT NOT NULL,
    ip         TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action     TEXT NOT NULL, -- e.g. project.create
    project_id TEXT, -- NULL: of the hub
    object     TEXT NOT NULL, -- what it was done to, as a person names it
    detail     TEXT NOT NULL DEFAULT '' -- JSON, never a secret
);
CREATE INDEX audit_project ON audit (project_id, id);
CREATE INDEX audit_actor ON audit (actor, id);
