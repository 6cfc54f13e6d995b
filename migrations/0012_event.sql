-- What has happened, for whoever wants to be told.
-- oldest_binary: 1

-- Written in the transaction of its cause.
CREATE TABLE event (
    id         TEXT PRIMARY KEY, -- UUIDv7
    type       TEXT NOT NULL,
    project_id TEXT NOT NULL, -- '' = of the hub
    subject    TEXT NOT NULL, -- repository@digest, repository:tag ..
    actor      TEXT NOT NULL,
    data       TEXT NOT NULL, -- JSON
    created_at BIGINT NOT NULL
);
