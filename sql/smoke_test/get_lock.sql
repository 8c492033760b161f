SELECT GET_LOCK(CONCAT('tidb-rust-mysql-quickstart ', MD5(LOWER(DATABASE()))), 1)
