-- Names are paged: in byte order on both engines.
ALTER TABLE project ALTER COLUMN registry TYPE TEXT COLLATE "C";
ALTER TABLE registry ALTER COLUMN name TYPE TEXT COLLATE "C";
