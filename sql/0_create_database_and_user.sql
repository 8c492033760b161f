-- Creates a database, and a SQL user with privileges on that database only. Replace the password
-- with one that contains no ' or \, and run this once as an administrator:
--     mysql --host 127.0.0.1 --port 4000 --user root <sql/0_create_database_and_user.sql
CREATE DATABASE IF NOT EXISTS test_sqlalchemy;
CREATE USER IF NOT EXISTS 'quickstart'@'%' IDENTIFIED BY 'change-this-password';
GRANT ALL PRIVILEGES ON test_sqlalchemy.* TO 'quickstart'@'%';
