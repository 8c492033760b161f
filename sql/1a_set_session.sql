-- The session settings that the steps need, whatever the server's defaults: autocommit, ids that
-- start at 1 and go up by 1, all rows (this number is MySQL's "no limit"; DEFAULT would take the
-- server's global value), a session that may write, and no stale reads.
-- Only TiDB knows the last variable: any other server refuses the whole statement with error 1193.
SET SESSION
    autocommit = 1,
    auto_increment_increment = 1,
    auto_increment_offset = 1,
    sql_select_limit = 18446744073709551615,
    transaction_read_only = 0,
    tidb_low_resolution_tso = 0
