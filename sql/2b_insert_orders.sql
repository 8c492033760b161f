INSERT INTO orders (uid, price) VALUES (?, ?)
