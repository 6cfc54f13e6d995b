-- Indexes as the statements ask for them.
-- oldest_binary: 1

-- What the catalog lists, to somebody who sees everything and to one who sees one project. With all they ask for, SQLite
-- reads no row of the table for it: that is why pushed_at is there.
DROP INDEX repository_listed;
CREATE INDEX repository_listed ON repository (name, project_id, pushed_at) WHERE pushed_at > 0;
CREATE INDEX repository_project_listed ON repository (project_id, name, pushed_at) WHERE pushed_at > 0;
-- Which projects that may be besides one's own.
CREATE INDEX project_public ON project (id) WHERE visibility = 'public';

-- The sweeper asks for uploads that are idle or old, and no index of one of these serves "or". There are few, and each
-- chunk of an upload would have to change it.
DROP INDEX upload_updated;
