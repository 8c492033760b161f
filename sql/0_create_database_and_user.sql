-- Creates a database, and a SQL user with privileges on that database only. Run this once as an
-- administrator, with a password of your choice (letters and digits):
--     sed 's/change-this-password/my-password/' sql/0_create_database_and_user.sql |
--         mysql --host 127.0.0.1 --port 4000 --user root
CREATE DATABASE IF NOT EXISTS test_sqlalchemy;
CREATE USER IF NOT EXISTS 'quickstart'@'%' IDENTIFIED BY 'change-this-password';
GRANT ALL PRIVILEGES ON test_sqlalchemy.* TO 'quickstart'@'%';
