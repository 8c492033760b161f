-- The tutorial's step 2: a database, and a SQL user with rights on that database only.
-- Change the password, then run the file once as an administrator:
--     mysql --host 127.0.0.1 --port 4000 --user root < sql/0_create_database_and_user.sql
CREATE DATABASE IF NOT EXISTS test_sqlalchemy;
CREATE USER IF NOT EXISTS 'quickstart'@'%' IDENTIFIED BY 'change-this-password';
GRANT ALL PRIVILEGES ON test_sqlalchemy.* TO 'quickstart'@'%';
