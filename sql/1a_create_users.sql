CREATE TABLE users (
    uid INTEGER NOT NULL AUTO_INCREMENT,
    name VARCHAR(50),
    gender ENUM('Female', 'Male'),
    PRIMARY KEY (uid)
)
