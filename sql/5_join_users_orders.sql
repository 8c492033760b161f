SELECT users.name, orders.price
FROM users
JOIN orders ON orders.uid = users.uid
WHERE orders.uid = 3
ORDER BY orders.oid
