-- Session settings that the steps need, regardless of the server's defaults: no stale reads,
-- autocommit, ids 1, 2, 3, and no row limit (DEFAULT would be the global value).
-- Only TiDB has tidb_low_resolution_tso: other servers reject the statement (error 1193 or 1105).
SET SESSION
    tidb_low_resolution_tso = 0,
    autocommit = 1,
    auto_increment_increment = 1,
    sql_select_limit = 18446744073709551615
