-- Creates a database, and a SQL user with rights on that database only. An administrator runs this
-- once, with a password of their own for the user:
--     sed 's/change-this-password/my-password/' sql/0_create_database_and_user.sql |
--         mysql --host 127.0.0.1 --port 4000 --user root
CREATE DATABASE IF NOT EXISTS test_sqlalchemy;
CREATE USER IF NOT EXISTS 'quickstart'@'%' IDENTIFIED BY 'change-this-password';
GRANT ALL PRIVILEGES ON test_sqlalchemy.* TO 'quickstart'@'%';
