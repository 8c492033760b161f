SELECT CONCAT_WS(' ', 'order', oid, uid, price) AS line FROM orders
UNION ALL
SELECT CONCAT_WS(' ', 'user', uid, name, gender) FROM users
ORDER BY line
