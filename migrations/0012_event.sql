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
    dispatched BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL
);
CREATE INDEX event_new ON event (id) WHERE NOT dispatched;

-- Who is told what.
CREATE TABLE webhook (
    id           TEXT PRIMARY KEY,
    scope        TEXT NOT NULL, -- a project's id; '' = of the hub, and so of all projects
    name         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    host         TEXT NOT NULL, -- of the sealed address, which nobody is shown; '' = mail
    sealed       BYTEA, -- JSON: address and secrets; NULL = mail
    recipients   TEXT NOT NULL, -- JSON; of mail
    events       TEXT NOT NULL, -- JSON: patterns
    repositories TEXT NOT NULL, -- JSON: patterns; [] = whatever it is about
    min_severity TEXT NOT NULL DEFAULT '', -- of what is newly found
    lang         TEXT NOT NULL DEFAULT 'en',
    paused       BOOLEAN NOT NULL DEFAULT FALSE,
    problem      TEXT NOT NULL DEFAULT '', -- why the hub itself paused it
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    revision     BIGINT NOT NULL DEFAULT 1,
    UNIQUE (scope, name)
);

-- What of an event goes to one subscription.
CREATE TABLE delivery (
    id         TEXT PRIMARY KEY, -- UUIDv7
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event_id   TEXT NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    state      TEXT NOT NULL, -- waiting, delivered, failed
    attempts   BIGINT NOT NULL DEFAULT 0,
    status     BIGINT NOT NULL DEFAULT 0, -- of HTTP, of the last answer
    error      TEXT NOT NULL DEFAULT '',
    answer     TEXT NOT NULL DEFAULT '', -- its first bytes
    due_at     BIGINT NOT NULL,
    tried_at   BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'waiting';
CREATE INDEX delivery_waiting ON delivery (webhook_id, id) WHERE state = 'waiting';
CREATE INDEX delivery_of_webhook ON delivery (webhook_id, id);
CREATE INDEX delivery_of_event ON delivery (event_id);

ALTER TABLE tag ADD COLUMN previous TEXT; -- what it named before it was last written; NULL = nothing
