-- Which documents of a scope list a package. The order of the key is that of a search: rights first, so that how long it
-- takes says nothing about what somebody may not see. The key is the table: half the space, and one look-up less.
CREATE TABLE package_use (
    package_id  INTEGER NOT NULL,
    scope       INTEGER NOT NULL,
    version_id  INTEGER NOT NULL,
    document_id INTEGER NOT NULL,
    PRIMARY KEY (package_id, scope, version_id, document_id)
) WITHOUT ROWID;
