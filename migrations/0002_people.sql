-- People, projects and their rights.
-- oldest_binary: 1

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    username      TEXT NOT NULL UNIQUE, -- lower case
    password_hash TEXT NOT NULL, -- PHC string of argon2id; '' = none, cannot log in with a password
    email         TEXT NOT NULL DEFAULT '',
    display_name  TEXT NOT NULL DEFAULT '',
    admin         BOOLEAN NOT NULL DEFAULT FALSE,
    disabled      BOOLEAN NOT NULL DEFAULT FALSE,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    revision      BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE session (
    id           TEXT PRIMARY KEY,
    token_hash   TEXT NOT NULL UNIQUE, -- SHA-256 of the cookie, hex
    account_id   TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    verified_at  BIGINT NOT NULL, -- when the password was last asked for
    expires_at   BIGINT NOT NULL,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL
);
CREATE INDEX session_account ON session (account_id);

CREATE TABLE personal_token (
    id           TEXT PRIMARY KEY,
    account_id   TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    token_hash   TEXT NOT NULL UNIQUE, -- SHA-256, hex
    scopes       TEXT NOT NULL, -- JSON list of grants; '' = whatever the account may
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT, -- NULL: never
    last_used_at BIGINT,
    UNIQUE (account_id, name)
);

CREATE TABLE project (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    visibility     TEXT NOT NULL,
    baseline       TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    sparse_indexes BOOLEAN NOT NULL DEFAULT FALSE,
    quota_bytes    BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    revision       BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE member (
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision   BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (project_id, account_id)
);
CREATE INDEX member_account ON member (account_id);

CREATE TABLE robot (
    id             TEXT PRIMARY KEY,
    project_id     TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name           TEXT NOT NULL, -- without "robot$project+"
    description    TEXT NOT NULL DEFAULT '',
    permissions    TEXT NOT NULL, -- JSON list of grants
    secret_hash    TEXT NOT NULL, -- SHA-256, hex
    previous_hash  TEXT NOT NULL DEFAULT '', -- valid until previous_until after a rotation
    previous_until BIGINT,
    disabled       BOOLEAN NOT NULL DEFAULT FALSE,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    last_used_at   BIGINT,
    revision       BIGINT NOT NULL DEFAULT 1,
    UNIQUE (project_id, name)
);

-- Failed log-ins, by account and by address, so that waiting is asked for on every replica and after a restart.
CREATE TABLE login_failure (
    subject       TEXT PRIMARY KEY, -- "account:<hash of the name typed>" or "ip:<address or prefix>"
    failures      BIGINT NOT NULL,
    first_at      BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);
CREATE INDEX login_failure_last ON login_failure (last_at);

CREATE TABLE label (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    color       TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1,
    UNIQUE (project_id, name)
);

-- Answers of POST requests that carried an Idempotency-Key, kept for a day.
CREATE TABLE idempotency (
    actor        TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       BIGINT NOT NULL, -- 0: still being worked on
    header       TEXT NOT NULL DEFAULT '', -- JSON
    body         BYTEA,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- One current key of each purpose, also when several processes make or rotate it at once.
CREATE UNIQUE INDEX secret_current ON secret (purpose) WHERE retire_at IS NULL;

-- A robot that gives its secret alone, as a Bearer token or a refresh token.
CREATE INDEX robot_secret ON robot (secret_hash);
CREATE INDEX robot_previous ON robot (previous_hash) WHERE previous_hash <> '';
