INSERT INTO users (name, gender) VALUES (?, ?)
