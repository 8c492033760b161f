-- The settings that the steps depend on and that differ: each statement commits by itself, ids go
-- 1, 2, 3, no limit on rows, not read-only, no stale reads. TiDB alone reads what stands behind T!.
SELECT
    @@version,
    0 /*T! + 1 */ AS is_tidb,
    CONCAT_WS(', ',
        IF(@@autocommit = 1, NULL, 'autocommit = 1'),
        IF(@@auto_increment_increment = 1, NULL, 'auto_increment_increment = 1'),
        IF(@@auto_increment_offset = 1, NULL, 'auto_increment_offset = 1'),
        IF(@@sql_select_limit = 18446744073709551615, NULL, 'sql_select_limit = 18446744073709551615')
        /*!80000 , IF(@@transaction_read_only = 0, NULL, 'transaction_read_only = 0') */
        /*T! , IF(@@tidb_low_resolution_tso = 0, NULL, 'tidb_low_resolution_tso = 0') */
    ) AS settings
