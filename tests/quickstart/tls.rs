//! TLS: when it is on, what it verifies, and what is said when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

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
pub enum Kind {
    Valid,
    Expired,
    Version1,
}

/// A CA that issues certificates.
pub struct Ca {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(name);
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for a host, `NAME.pem`, and its key, `NAME-key.pem`.
    pub fn issue(&self, host: &str, folder: &Path, name: &str, kind: Kind) {
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
        let config = "socket = ''\nsecurity = { ssl-ca = 'ca.pem', ssl-cert = 'server.pem', ssl-key = 'server-key.pem' }";
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

/// Fails unless the run passed and its log says this of TLS.
#[track_caller]
fn assert_passed_with(tls: &str, run: &Run) {
    let words = format!(", {tls}, database");
    assert!(run.assert_passed().stderr.contains(&words), "no {words} in {run:#?}");
}

#[test]
fn a_ca_in_the_url_turns_tls_on_and_is_verified() {
    let tls = TlsServer::start();
    for user in ["native", "sha2", "secure"] {
        assert_passed_with("TLS on", &tls.run(user, "?root_cert_path={CA}"));
    }
    let other = Ca::new(&tls.server.folder, "other.pem");
    for (issuer, host, kind, words) in [
        (&tls.ca, "other.example", Kind::Valid, "not valid for name"),
        (&other, "localhost", Kind::Valid, "UnknownIssuer"),
        (&tls.ca, "localhost", Kind::Expired, "certificate expired"),
        (&tls.ca, "localhost", Kind::Version1, "UnsupportedCertVersion"),
    ] {
        tls.use_certificate(issuer, host, kind);
        let refused = tls.run("native", "?root_cert_path={CA}");
        refused.assert_failed(1, &["localhost", words, "the server's certificate must be"]);
    }
}

#[test]
fn an_unverified_connection_gets_a_warning() {
    let tls = TlsServer::shared();
    // The certificate is for `localhost`.
    let run = |parameters: &str| {
        let url = tls.url("native", parameters).replace("localhost", "127.0.0.1");
        run_and_look_for_password(&url)
    };
    run("?root_cert_path={CA}").assert_failed(1, &["not valid for name"]);
    for parameters in [
        "?danger_accept_invalid_certs=true",
        "?danger_skip_domain_validation=true&root_cert_path={CA}",
    ] {
        let passed = run(parameters);
        assert_passed_with("TLS on, not verified", &passed);
        assert!(passed.stderr.contains("[WARN ] 127.0.0.1"), "{passed:#?}");
    }
    let refused = run("?danger_skip_domain_validation=true");
    refused.assert_failed(1, &["TLS on, not verified: connect: ", "UnknownIssuer"]);
}

#[test]
fn only_a_connection_to_another_machine_needs_tls() {
    for (host, warns) in [
        ("127.0.0.2", false),
        ("localhost.", false),
        ("[::1]", false),
        ("[::ffff:127.0.0.1]", false),
        ("nosuch.invalid", true),
    ] {
        let url = format!("mysql://root@{host}:{}/d", free_port());
        let refused = run(with_url(&url).env("TIDB_TIMEOUT", "1"));
        refused.assert_failed(1, &[", TLS off: connect: "]);
        assert_eq!(refused.stderr.contains("[WARN ]"), warns, "{refused:#?}");
    }
}

#[test]
fn tls_is_on_for_tidb_cloud() {
    // No resolver looks up a name with a label of more than 63 letters.
    let label = "x".repeat(64);
    for (host, tls) in [
        (format!("{label}.prod.aws.tidbcloud.com"), "TLS on"),
        (format!("{label}.TiDBCloud.COM"), "TLS on"),
        (format!("{label}.tidbcloud.com.example"), "TLS off"),
        (format!("{label}-tidbcloud.com"), "TLS off"),
    ] {
        let url = format!("mysql://prefix.root:p@{host}/d");
        let refused = run(with_url(&url).env("TIDB_TIMEOUT", "1"));
        let name = format!("{}:3306, {tls}: connect: ", host.to_lowercase());
        refused.assert_failed(1, &[&name, "; check the host in DATABASE_URL, and the network"]);
    }
}

#[test]
fn what_requires_tls_or_a_client_certificate_is_told() {
    let tls = TlsServer::start();
    for user in ["secure", "sha2"] {
        let words = ["1045", "TLS off", "if the account requires TLS, add ?root_cert_path="];
        tls.run(user, "").assert_failed(1, &words);
    }
    tls.run("x509", "?root_cert_path={CA}").assert_failed(1, &["1045", "TLS on"]);
    let client = "cert_chain_path={FOLDER}/client.pem&priv_key_path={FOLDER}/client-key.pem";
    let client = format!("?root_cert_path={{CA}}&{client}");
    assert_passed_with("TLS on", &tls.run("x509", &client));
    let refused = run(quickstart(Server::shared().port, "no_tls?danger_accept_invalid_certs=true"));
    refused.assert_failed(1, &["server does not have this capability; set up TLS or remove"]);

    // TiDB allows this setting only in a session with TLS.
    let root = format!("mysql://root@localhost:{}", tls.server.port);
    let root = format!("{root}/?root_cert_path={}", tls.ca.file.display());
    let mut session = mysql::Conn::new(root.as_str()).unwrap();
    session.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    // TiDB may take a moment until it applies the setting.
    wait_until("TLS is required", || tls.run("native", "").status != Some(0));
    // Its error has no SQL state, so the driver cannot read it.
    let words =
        ["Invalid SqlStateMarker value", "if the server requires TLS, add ?root_cert_path="];
    tls.run("native", "").assert_failed(1, &words);
    assert_passed_with("TLS on", &tls.run("native", "?root_cert_path={CA}"));
}

#[test]
fn damaged_certificate_files_are_not_a_failure_of_the_deployment() {
    let tls = TlsServer::shared();
    let damaged = tls.server.folder.join("damaged.pem");
    // The last one is Base64, but not a certificate.
    for base64 in ["!!!!", "MII", "=MII", "ZZZZ"] {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        fs::write(&damaged, pem).unwrap();
        let refused = tls.run("native", "?root_cert_path={FOLDER}/damaged.pem");
        refused.assert_failed(2, &["check the CA and client certificate files"]);
    }
}

#[test]
fn silence_under_tls_ends_in_time() {
    let tls = TlsServer::shared();
    let assert_timed_out = |url: &str, words: &str| {
        let start = Instant::now();
        run(with_url(url).env("TIDB_TIMEOUT", "3")).assert_failed(1, &["TLS on: ", words]);
        assert!(start.elapsed() < Duration::from_secs(6), "took {:?}", start.elapsed());
    };
    // After the greeting
    let proxy = Proxy::start(tls.server.port, |packet| {
        if packet.client > 0 { Verdict::Drop } else { Verdict::Pass }
    });
    let silent =
        format!("mysql://root@localhost:{}/d?danger_accept_invalid_certs=false", proxy.port);
    assert_timed_out(&silent, "connect: timed out (TIDB_TIMEOUT); check host, port");
    // In a statement that waits for a transaction of another session
    let ca = tls.ca.file.display();
    let url = format!("mysql://root@localhost:{}/silent?root_cert_path={ca}", tls.server.port);
    run(with_url(&url)).assert_passed();
    let mut other = tls.server.session();
    for statement in ["BEGIN", "SELECT * FROM silent.users"] {
        other.query_drop(statement).unwrap();
    }
    assert_timed_out(&url, "drop users and orders: timed out (TIDB_TIMEOUT); a session may");
}
