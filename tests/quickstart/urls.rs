//! Connection strings of every kind, TLS, and what is said when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

use mysql::prelude::Queryable;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use crate::proxy::{Proxy, Verdict};
use crate::support::{
    Run, Server, free_port, quickstart, run, temporary_folder, wait_until, with_url,
};

/// A password with every character that means something in a URL, a shell or SQL.
const PASSWORD: &str = r#"p@ss:/?#[]!$&'()*+,;=%41 "<>\^`{|}~é密"#;

/// The password as it stands in a URL.
fn encoded() -> String {
    PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// A kind of certificate.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Valid,
    Expired,
    Version1,
}

/// A CA that issues certificates.
struct Ca {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(name);
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for a host, `NAME.pem`, and its key, `NAME-key.pem`.
    fn issue(&self, host: &str, folder: &Path, name: &str, kind: Kind) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        if kind == Kind::Expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        let mut pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        if kind == Kind::Version1 {
            // The Base64 form of "version 3" becomes "version 1".
            pem = pem.replacen("gAwIBAgI", "gAwIBAAI", 1);
        }
        fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
    }
}

/// A TiDB with a certificate for `localhost`, and a user for each kind of account.
pub struct TlsServer {
    server: Server,
    ca: Ca,
}

impl TlsServer {
    /// The server of all tests that leave its certificate as it is.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TlsServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = temporary_folder().keep();
        let ca = Ca::new(&folder, "ca.pem");
        ca.issue("localhost", &folder, "server", Kind::Valid);
        ca.issue("client", &folder, "client", Kind::Valid);
        let config =
            "security = { ssl-ca = 'ca.pem', ssl-cert = 'server.pem', ssl-key = 'server-key.pem' }";
        let server = Server::on_port(free_port(), folder, config);
        server.execute(&["CREATE DATABASE tls"]);
        let password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
        for (name, plugin, require) in [
            ("native", "mysql_native_password", "NONE"),
            ("sha2", "caching_sha2_password", "NONE"),
            ("secure", "mysql_native_password", "SSL"),
            ("x509", "mysql_native_password", "X509"),
        ] {
            let user = format!("{name} IDENTIFIED WITH {plugin} BY '{password}' REQUIRE {require}");
            server.execute(&[
                &format!("CREATE USER {user}"),
                &format!("GRANT ALL ON tls.* TO {name}"),
            ]);
        }
        Self { server, ca }
    }

    /// The URL of a user. In `parameters`, `{CA}` and `{FOLDER}` are the CA's file and its folder.
    pub fn url(&self, user: &str, parameters: &str) -> String {
        let folder = self.server.folder.to_str().unwrap();
        let parameters = parameters.replace("{CA}", "{FOLDER}/ca.pem").replace("{FOLDER}", folder);
        format!("mysql://{user}:{}@localhost:{}/tls{parameters}", encoded(), self.server.port)
    }

    fn run(&self, user: &str, parameters: &str) -> Run {
        run_and_look_for_password(&self.url(user, parameters))
    }

    /// Makes the server use another certificate.
    fn use_certificate(&self, issuer: &Ca, host: &str, kind: Kind) {
        issuer.issue(host, &self.server.folder, "server", kind);
        self.server.execute(&["ALTER INSTANCE RELOAD TLS"]);
    }
}

/// Runs at the most detailed level of the log, and fails if that shows the password.
#[track_caller]
fn run_and_look_for_password(url: &str) -> Run {
    let run = run(with_url(url).env("RUST_LOG", "trace"));
    // The start of the password, raw and as in a URL: escaping in a log does not change it.
    for start in ["p@ss", "%70%40%73%73"] {
        assert!(!run.stdout.contains(start) && !run.stderr.contains(start), "password in {run:#?}");
    }
    run
}

/// Fails unless the run passed with TLS (`on`), or without (`off`).
#[track_caller]
fn assert_passed_with(tls: &str, run: &Run, parameters: &str) {
    let words = format!(", TLS {tls}, database");
    assert!(run.status == Some(0) && run.stderr.contains(&words), "{parameters}: {run:#?}");
}

/// Parameters that require TLS, and whether they require a trusted CA and the host name.
const TLS_PARAMETERS: [(&str, bool, bool); 15] = [
    ("?ssl-mode=REQUIRED", false, false),
    ("?ssl_mode=REQUIRED&ssl-mode=DISABLED", false, false),
    (r#"?ssl={"minVersion":"TLSv1.2","rejectUnauthorized":false}"#, false, false),
    ("?ssl-mode=VERIFY_CA&ssl-ca={CA}", true, false),
    ("?SSL-MODE=verify-identity&SSL_CA={CA}", true, true),
    ("?sslMode=VERIFY_IDENTITY&sslca={CA}", true, true),
    ("?ssl_mode=verify_identity&sslaccept=strict&sslcert={CA}", true, true),
    ("?ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=true", true, true),
    ("?ssl_ca={CA}&ssl_verify_cert=true", true, true),
    (r#"?ssl={"minVersion":"TLSv1.2"}&ssl_ca={CA}"#, true, true),
    (r#"?ssl={"rejectUnauthorized":true,"minVersion":"TLSv1.2"}&ssl_ca={CA}"#, true, true),
    ("?ssl=%7B%22rejectUnauthorized%22%3Atrue%7D&ssl_ca={CA}", true, true),
    ("?ssl_ca={CA}", true, true),
    ("?ssl-mode=DISABLED&ssl_ca={CA}", true, true),
    ("?root_cert_path={CA}&charset=utf8mb4", true, true),
];

#[test]
fn each_tls_parameter_gives_the_tls_it_asks_for() {
    let tls = TlsServer::start();
    // The right certificate is accepted. The other rows run below, with wrong certificates.
    for (parameters, _, _) in TLS_PARAMETERS.into_iter().filter(|(_, verifies_ca, _)| *verifies_ca)
    {
        assert_passed_with("on", &tls.run("secure", parameters), parameters);
    }
    let client = "cert_chain_path={FOLDER}/client.pem&priv_key_path={FOLDER}/client-key.pem";
    let client = &*format!("?ssl-ca={{CA}}&{client}");
    for (user, parameters) in [("sha2", "?ssl-ca={CA}"), ("x509", client)] {
        assert_passed_with("on", &tls.run(user, parameters), parameters);
    }
    for scheme in ["TiDB", "mysql2", "mysql+pymysql"] {
        let url = tls.url("sha2", "?ssl-ca={CA}").replace("mysql:", &format!("{scheme}:"));
        assert_passed_with("on", &run_and_look_for_password(&url), scheme);
    }
    // Otherwise there is no TLS: the proxy reads the statements.
    let proxy = Proxy::start(tls.server.port, |_| Verdict::Pass);
    for parameters in ["", "?ssl-mode=DISABLED", "?charset=utf8mb4"] {
        let url = tls.url("native", parameters);
        let url = url.replace(&format!(":{}/", tls.server.port), &format!(":{}/", proxy.port));
        let before = proxy.packets.load(SeqCst);
        assert_passed_with("off", &run_and_look_for_password(&url), parameters);
        assert!(proxy.packets.load(SeqCst) > before + 10, "the proxy saw no statements");
    }
    let needs_tls =
        ["1045", "TLS off", "if the account requires TLS, add ssl-mode=VERIFY_IDENTITY"];
    tls.run("secure", "").assert_failed(1, &needs_tls);
    tls.run("sha2", "?ssl-mode=DISABLED").assert_failed(1, &needs_tls);
    tls.run("x509", "?ssl-ca={CA}").assert_failed(1, &["1045", "TLS on"]);

    // A wrong certificate matters only where it is verified.
    let other = Ca::new(&tls.server.folder, "other.pem");
    for (issuer, host, kind, words) in [
        (&tls.ca, "other.example", Kind::Valid, "not valid for name"),
        (&other, "localhost", Kind::Valid, "UnknownIssuer"),
        (&tls.ca, "localhost", Kind::Expired, "certificate expired"),
        (&tls.ca, "localhost", Kind::Version1, "UnsupportedCertVersion"),
    ] {
        tls.use_certificate(issuer, host, kind);
        for (parameters, verifies_ca, verifies_name) in TLS_PARAMETERS {
            let run = tls.run("secure", parameters);
            let is_refused = if host == "localhost" { verifies_ca } else { verifies_name };
            if is_refused {
                run.assert_failed(1, &["localhost", words, "the server's certificate must be"]);
            } else {
                assert_passed_with("on", &run, parameters);
            }
        }
    }
    tls.use_certificate(&tls.ca, "localhost", Kind::Valid);

    // A server that requires TLS. TiDB allows this setting only in a session with TLS.
    let root = format!("mysql://root@localhost:{}", tls.server.port);
    let root = format!("{root}/?root_cert_path={}", tls.ca.file.display());
    let mut session = mysql::Conn::new(root.as_str()).unwrap();
    session.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    // TiDB may take a moment until it applies the setting.
    wait_until("TLS is required", || tls.run("native", "").status != Some(0));
    // Its error has no SQL state, so the driver cannot read it.
    let words = ["Invalid SqlStateMarker value", "not the MySQL protocol", "add ssl-mode="];
    tls.run("native", "").assert_failed(1, &words);
    assert_passed_with("on", &tls.run("native", "?ssl-ca={CA}"), "required");
}

#[test]
fn unsupported_urls_are_refused() {
    let tls = TlsServer::shared();
    let folder = temporary_folder();
    let damaged = folder.path().join("damaged.pem");
    fs::write(&damaged, "-----BEGIN CERTIFICATE-----\nZZZZ\n-----END CERTIFICATE-----\n").unwrap();
    for (scheme, tail, words) in [
        ("mysql", "/d?charset=latin1", "parameter charset"),
        ("mysql", "/d?ssl-mode=PREFERRED", "parameter ssl-mode"),
        ("mysql", "/d?tls=true", "use ssl-mode=VERIFY_IDENTITY"),
        ("mysql", r#"/d?ssl={"minVersion":"TLSv1.2","ca":"x"}"#, "parameter ssl or"),
        ("mysql", "/d?ssl-mode=REQUIRED&ssl-mode=VERIFY_CA", "conflicting"),
        ("mysql", "/d?ssl-ca=/a.pem&sslcert=/b.pem", "conflicting"),
        ("mysql", "/d?ssl-ca=", "parameter ssl-ca"),
        ("mysql", "/d?ssl-ca=/no+such.pem", "'/no+such.pem'"),
        ("mysql", "/d'", "quotes or whitespace"),
        ("mysql", "/d ", "quotes or whitespace"),
        ("mysql", "/mysql", "system schema"),
        ("mysql", "/Information_Schema", "system schema"),
        ("mysql", "/d?sslpassword=secret", "parameter sslpassword"),
        ("mysql", "/d?danger_accept_invalid_certs=true", "parameter danger_accept_invalid_certs"),
        ("mysql", "/d?cert_chain_path=/x", "priv_key_path"),
        ("mysql", "/d?ssl-mode=REQUIRED&ssl-ca=/nosuch.pem", "'/nosuch.pem'"),
        ("mysql", "/d?root_cert_path=Cargo.toml", "'Cargo.toml'"),
        ("mysql", "/d?cert_chain_path=Cargo.toml&priv_key_path=x", "'Cargo.toml'"),
        ("mysql", "/d?cert_chain_path={DAMAGED}&priv_key_path=Cargo.toml", "'Cargo.toml'"),
        ("mysql", "/d/e", "%2F"),
        ("mysql", "", "no database"),
        ("jdbc:mysql", "/d", "not a MySQL URL: use mysql://"),
        ("postgresql", "/d", "not a MySQL URL"),
    ] {
        let tail = tail.replace("{DAMAGED}", damaged.to_str().unwrap());
        let url = format!("{scheme}://root:{}@127.0.0.1:{}{tail}", encoded(), tls.server.port);
        let refused = run_and_look_for_password(&url);
        refused.assert_failed(2, &["DATABASE_URL", words]);
        assert!(!refused.stderr.contains("secret"), "{refused:#?}");
    }
    assert!(tls.server.rows::<String>("SHOW DATABASES LIKE 'd%'").is_empty());
    assert!(tls.server.rows::<String>("SHOW TABLES IN mysql LIKE 'users'").is_empty());
    // Only the driver notices that this file is damaged. Its error does not name the file.
    let url = tls.url("native", &format!("?ssl-ca={}", damaged.display()));
    run(with_url(&url)).assert_failed(2, &["check the CA and client certificate files"]);
    // If a URL cannot be read, no part of the password is shown.
    for url in [
        "",
        "mysql://root:secret@127.0.0.1:99999/d",
        "mysql://root:secret@127.0.0.1:0/d",
        "\"mysql://root:secret@127.0.0.1/d\"",
        "mysql://root:se/cret@127.0.0.1:4000/d",
        "mysql://root:12?cret@127.0.0.1:4000/d",
        "root:secret@127.0.0.1:4000/d",
        "mysql://root:secret@127.0.0.1:4000/d#?ssl-mode=REQUIRED",
        "mysql://root:secret@[::1/d",
        "mysql://root:secret@münchen.example/d",
    ] {
        let refused = run(with_url(url).env("RUST_LOG", "trace"));
        refused.assert_failed(2, &["DATABASE_URL"]);
        assert!(!refused.stderr.contains("cret"), "{url}: {refused:#?}");
    }
}

#[test]
fn tls_is_on_for_tidb_cloud_and_fails_without_server_support() {
    // No resolver looks up a name with a label of more than 63 letters.
    let label = "x".repeat(64);
    for (host, tls) in [
        (format!("{label}.prod.aws.tidbcloud.com"), "TLS on"),
        (format!("{label}.TiDBCloud.COM."), "TLS on"),
        (format!("{label}.tidbcloud.com.example"), "TLS off"),
    ] {
        let url = format!("mysql://prefix.root:p@{host}/d?charset=utf8mb4");
        let refused = run(with_url(&url).env("TIDB_TIMEOUT", "1"));
        let name = format!("{}:3306, {tls}: connect: ", host.to_lowercase());
        refused.assert_failed(1, &[&name, "; check the host in DATABASE_URL, and the network"]);
        // A connection without TLS to another machine gets a warning.
        assert_eq!(refused.stderr.contains("[WARN ]"), tls == "TLS off", "{refused:#?}");
    }
    let server = Server::shared();
    let local = run(quickstart(server.port, "no_tls"));
    assert!(!local.assert_passed().stderr.contains("WARN"), "{local:#?}");
    let refused = run(quickstart(server.port, "no_tls?ssl-mode=REQUIRED"));
    refused.assert_failed(1, &["Client requires secure connection but server"]);
}
