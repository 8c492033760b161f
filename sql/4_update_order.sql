UPDATE orders SET price = ? WHERE oid = ?
