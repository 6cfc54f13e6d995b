-- What one process changed and the others have cached. SQLite has one process and needs no such table.
CREATE TABLE change (
    seq  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind TEXT NOT NULL,
    key  TEXT NOT NULL,
    at   BIGINT NOT NULL
);
CREATE INDEX change_xid ON change (xid);
CREATE INDEX change_at ON change (at);
