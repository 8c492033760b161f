DROP TABLE IF EXISTS users, orders
