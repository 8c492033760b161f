SELECT users.name, orders.price
FROM users
JOIN orders ON orders.uid = users.uid
WHERE orders.uid = ?
ORDER BY orders.oid
