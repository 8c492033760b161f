-- Returns the server's version, and a table or view that has one of our table names but not our
-- comment, or NULL if there is none. Without GROUP BY, an aggregate always returns one row.
SELECT @@version, MIN(CONCAT(REPLACE(TABLE_TYPE, 'BASE ', ''), ' ', TABLE_SCHEMA, '.', TABLE_NAME))
FROM INFORMATION_SCHEMA.TABLES
WHERE TABLE_SCHEMA = DATABASE()
    AND LOWER(TABLE_NAME) IN ('users', 'orders')
    AND NOT (TABLE_TYPE = 'BASE TABLE' AND BINARY TABLE_COMMENT <=> 'tidb-rust-mysql-quickstart')
