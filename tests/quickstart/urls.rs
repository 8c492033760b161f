//! Connection URLs that are refused, and what is said of them.

use std::fs;

use crate::support::{run, temporary_folder, with_url};

/// Runs with a URL that contains `cret` only as a part of its password, and fails unless it is
/// refused with these words and without the password.
#[track_caller]
fn assert_refused(url: &str, words: &[&str]) {
    let refused = run(with_url(url).env("RUST_LOG", "trace"));
    refused.assert_failed(2, &[&["DATABASE_URL: "], words].concat());
    assert!(!refused.stderr.contains("cret"), "{url}: {refused:#?}");
}

#[test]
fn strings_of_other_clients_are_refused_with_what_to_write() {
    let remedy = [
        "use mysql://user:password@host:4000/database",
        "for TiDB Cloud Starter, remove the ? and all that follows",
        "?root_cert_path=/path/to/ca.pem",
    ];
    for (url, words) in [
        ("mysql://u:secret@h:4000/d?ssl-mode=VERIFY_IDENTITY", "`ssl-mode'"),
        ("mysql://u:secret@h:4000/d?sslaccept=strict", "`sslaccept'"),
        (r#"mysql://u:secret@h:4000/d?ssl={"rejectUnauthorized":true}"#, "`ssl'"),
        ("mysql://u@h:4000/d?sslpassword=secret", "`sslpassword'"),
        ("mysql+pymysql://u:secret@h:4000/d?ssl_ca=/ca.pem", "`mysql+pymysql'"),
        ("tidb://u:secret@h:4000/d?charset=utf8mb4", "`tidb'"),
        ("jdbc:mysql://u:secret@h:4000/d", "`jdbc'"),
        ("user:secret@tcp(h:4000)/d?tls=tidb", "`user'"),
    ] {
        assert_refused(url, &[&[words], &remedy[..]].concat());
    }
}

#[test]
fn a_misread_url_never_shows_the_password() {
    let form = "use mysql://user:password@host:4000/database";
    for (url, words) in [
        ("", form),
        ("mysql://root:secret@127.0.0.1:99999/d", form),
        ("mysql://root:secret@127.0.0.1:0/d", "invalid port 0"),
        ("mysql://root:secret@127.0.0.1:4000", "no database name"),
        ("mysql://root:secret@127.0.0.1:4000/Information_Schema", "system schema"),
        ("mysql://root:secret@127.0.0.1:4000/back%60tick", "backtick"),
        ("mysql://root:secret@::1:4000/d", "(IPv6: [::1])"),
        ("mysql://root:secret@münchen.example/d", form),
        ("mysql://root:secret@127.0.0.1/d'", "remove whitespace, and the quotes"),
        ("mysql:\t//root:1/cret@127.0.0.1:4000/d", "remove whitespace"),
        ("mysql://root:1/cret%40127.0.0.1:4000", "@ in the database name"),
        ("mysql://root@127.0.0.1:4000/d?pool_min=secret", "invalid value of pool_min"),
        ("mysql://root@127.0.0.1:4000/d?cert_chain_path=/x", "invalid value of priv_key_path"),
        ("mysql://root@127.0.0.1:4000/d?socket=/tmp/s.sock", "a Unix socket"),
        ("mysql://root:se/cret@127.0.0.1:4000/d", "%2F"),
        ("mysql://root:12?port=cret@127.0.0.1:4000/d", "%3F"),
        ("mysql://root:secret@127.0.0.1:4000/d#?root_cert_path=/ca.pem", "%23"),
    ] {
        assert_refused(url, &[words]);
    }
}

#[test]
fn certificate_files_that_cannot_be_used_are_named() {
    let folder = temporary_folder();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let empty = file("empty.pem", "");
    let truncated = file("truncated.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    for name in ["/nosuch.pem", "/", "Cargo.toml", &empty, &truncated] {
        let words = format!("cannot read '{name}' as a PEM file");
        assert_refused(&format!("mysql://u:secret@h/d?root_cert_path={name}"), &[&words]);
        let client = format!("cert_chain_path={name}&priv_key_path={name}");
        assert_refused(&format!("mysql://u:secret@h/d?{client}"), &[&words]);
    }
}
