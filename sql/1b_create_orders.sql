CREATE TABLE orders (
    oid INTEGER NOT NULL AUTO_INCREMENT,
    uid INTEGER,
    price FLOAT,
    PRIMARY KEY (oid)
)
