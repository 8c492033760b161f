DELETE FROM orders WHERE oid = ?
