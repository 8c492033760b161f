-- The session settings that the steps need, whatever the server's defaults. Only TiDB has the first
-- variable: any other server refuses the statement with error 1193. In order: no stale reads,
-- autocommit, ids 1, 2, 3, no row limit (DEFAULT would be the server's global value), read-write.
SET SESSION
    tidb_low_resolution_tso = 0,
    autocommit = 1,
    auto_increment_increment = 1,
    auto_increment_offset = 1,
    sql_select_limit = 18446744073709551615,
    transaction_read_only = 0
