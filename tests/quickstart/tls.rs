//! TLS: when it is on, what it verifies, and what is said when it fails.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::proxy::{Proxy, Verdict};
use crate::support::{
    Run, Server, free_port, quickstart, run, temporary_folder, wait_until, with_url,
};

/// A password with every character that means something in a URL, a shell or SQL.
const PASSWORD: &str = r#"p@ss:/?#[]!$&'()*+,;=%41 "<>\^`{|}~é密"#;

/// A TiDB with a certificate of a private CA.
pub struct TlsServer {
    pub server: Server,
    pub ca: PathBuf,
}

impl TlsServer {
    /// A server with a certificate for `localhost`, for all tests that do not need their own.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<TlsServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("localhost"))
    }

    /// Starts a server with a certificate for this host, and a user for each kind of account.
    pub fn start(host: &str) -> Self {
        let folder = temporary_folder().keep();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = folder.join("ca.pem");
        fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for (name, host) in [("server", host), ("client", "client")] {
            let params = CertificateParams::new([host.to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        }
        let files = "ssl-ca = 'ca.pem', ssl-cert = 'server.pem', ssl-key = 'server-key.pem'";
        let config = format!("socket = ''\nsecurity = {{ {files} }}");
        let server = Server::on_port(free_port(), folder, &config);
        server.execute(&["CREATE DATABASE tls"]);
        let password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
        for (name, plugin, require) in [
            ("native", "mysql_native_password", "NONE"),
            ("sha2", "caching_sha2_password", "NONE"),
            ("secure", "mysql_native_password", "SSL"),
            ("x509", "mysql_native_password", "X509"),
        ] {
            let user = format!("{name} IDENTIFIED WITH {plugin} BY '{password}' REQUIRE {require}");
            let grant = format!("GRANT ALL ON tls.* TO {name}");
            server.execute(&[&format!("CREATE USER {user}"), &grant]);
        }
        Self { server, ca }
    }

    /// Runs as a user at the most detailed level of the log, and fails if that shows the password.
    /// In `parameters`, `{FOLDER}` is the folder of the certificates.
    #[track_caller]
    fn run(&self, user: &str, host: &str, parameters: &str) -> Run {
        let password =
            PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let parameters = parameters.replace("{FOLDER}", self.server.folder.to_str().unwrap());
        let port = self.server.port;
        let url = format!("mysql://{user}:{password}@{host}:{port}/tls{parameters}");
        let run = run(with_url(&url).env("RUST_LOG", "trace"));
        // The start of the password, raw and as in a URL: escaping in a log does not change it.
        for start in ["p@ss", "%70%40%73%73"] {
            assert!(!run.stdout.contains(start) && !run.stderr.contains(start), "{run:#?}");
        }
        run
    }
}

const CA: &str = "?root_cert_path={FOLDER}/ca.pem";

/// Fails unless the run passed and its log says this of TLS.
#[track_caller]
fn assert_passed_with(tls: &str, run: &Run) {
    let words = format!(", {tls}, database");
    assert!(run.assert_passed().stderr.contains(&words), "no {words} in {run:#?}");
}

#[test]
fn a_ca_in_the_url_turns_tls_on_and_is_verified() {
    let tls = TlsServer::shared();
    for user in ["native", "sha2", "secure"] {
        assert_passed_with("TLS on", &tls.run(user, "localhost", CA));
    }
    let remedy = "the server's certificate must be";
    tls.run("native", "127.0.0.1", CA).assert_failed(1, &["not valid for name", remedy]);
    let public = "?danger_accept_invalid_certs=false";
    tls.run("native", "localhost", public).assert_failed(1, &["TLS on", "UnknownIssuer", remedy]);
}

#[test]
fn an_unverified_connection_gets_a_warning() {
    let tls = TlsServer::shared();
    let skip = "&danger_skip_domain_validation=true";
    for parameters in ["?danger_accept_invalid_certs=true", &format!("{CA}{skip}")] {
        let passed = tls.run("native", "127.0.0.1", parameters);
        assert_passed_with("TLS on, not verified", &passed);
        assert!(passed.stderr.contains("for a verified connection, use only ?root"), "{passed:#?}");
    }
}

#[test]
fn only_a_connection_to_another_machine_without_tls_gets_a_warning() {
    // No resolver looks up a name with a label of more than 63 letters.
    let label = "x".repeat(64);
    for (host, tls, warns) in [
        ("127.0.0.2", "TLS off", false),
        ("localhost.", "TLS off", false),
        ("[::1]", "TLS off", false),
        ("[::ffff:127.0.0.1]", "TLS off", false),
        (&format!("{label}.prod.aws.tidbcloud.com"), "TLS on", false),
        (&format!("{label}.TiDBCloud.COM"), "TLS on", false),
        (&format!("{label}.tidbcloud.com.example"), "TLS off", true),
        (&format!("{label}-tidbcloud.com"), "TLS off", true),
    ] {
        let url = format!("mysql://prefix.root:p@{host}:{}/d", free_port());
        let refused = run(with_url(&url).env("TIDB_TIMEOUT", "1"));
        refused.assert_failed(1, &[&format!(", {tls}: connect: Could not connect")]);
        assert_eq!(refused.stderr.contains("[WARN ]"), warns, "{refused:#?}");
    }
}

#[test]
fn what_requires_tls_or_a_client_certificate_is_told() {
    let tls = TlsServer::start("localhost");
    let add_tls = ", add ?root_cert_path=";
    for user in ["secure", "sha2"] {
        tls.run(user, "localhost", "").assert_failed(1, &["1045", "TLS off", add_tls]);
    }
    tls.run("x509", "localhost", CA).assert_failed(1, &["1045", "TLS on"]);
    let client = "cert_chain_path={FOLDER}/client.pem&priv_key_path={FOLDER}/client-key.pem";
    assert_passed_with("TLS on", &tls.run("x509", "localhost", &format!("{CA}&{client}")));
    let refused = run(quickstart(Server::shared().port, "no_tls?danger_accept_invalid_certs=true"));
    refused.assert_failed(1, &["server does not have this capability; set up TLS or remove"]);

    // TiDB allows this setting only in a session with TLS.
    let root = format!("mysql://root@localhost:{}", tls.server.port);
    let root = format!("{root}/?root_cert_path={}", tls.ca.display());
    let mut session = mysql::Conn::new(root.as_str()).unwrap();
    session.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    // TiDB may take a moment until it applies the setting.
    wait_until("TLS is required", || tls.run("native", "localhost", "").status != Some(0));
    // Its error has no SQL state, so the driver cannot read it.
    let words = ["Invalid SqlStateMarker value", add_tls];
    tls.run("native", "localhost", "").assert_failed(1, &words);
    assert_passed_with("TLS on", &tls.run("native", "localhost", CA));
}

#[test]
fn damaged_certificate_files_are_not_a_failure_of_the_deployment() {
    let tls = TlsServer::shared();
    let damaged = tls.server.folder.join("damaged.pem");
    // The last one is Base64, but not a certificate.
    for base64 in ["!!!!", "MII", "=MII", "ZZZZ"] {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        fs::write(&damaged, pem).unwrap();
        let refused = tls.run("native", "localhost", "?root_cert_path={FOLDER}/damaged.pem");
        refused.assert_failed(2, &["check the CA and client certificate files"]);
    }
}

#[test]
fn silence_under_tls_ends_in_time() {
    let tls = TlsServer::shared();
    let assert_timed_out = |port: u16, words: &str| {
        let ca = tls.ca.display();
        let url = format!("mysql://root@localhost:{port}/silent?root_cert_path={ca}");
        let start = Instant::now();
        run(with_url(&url).env("TIDB_TIMEOUT", "3")).assert_failed(1, &["TLS on: ", words]);
        assert!(start.elapsed() < Duration::from_secs(7), "took {:?}", start.elapsed());
    };
    // After the greeting
    let proxy = Proxy::start(tls.server.port, |packet| {
        if packet.client > 0 { Verdict::Drop } else { Verdict::Pass }
    });
    assert_timed_out(proxy.port, "connect: timed out (TIDB_TIMEOUT); check host, port");
    // In a statement that waits for a transaction of another session
    run(quickstart(tls.server.port, "silent")).assert_passed();
    let mut other = tls.server.session();
    for statement in ["BEGIN", "SELECT * FROM silent.users"] {
        other.query_drop(statement).unwrap();
    }
    assert_timed_out(tls.server.port, "drop users and orders: timed out (TIDB_TIMEOUT); a session");
    // That statement is still waiting, and its session holds the lock.
    assert_timed_out(tls.server.port, "get the lock: another session holds the lock");
    other.query_drop("COMMIT").unwrap();
    run(quickstart(tls.server.port, "silent")).assert_passed();
}
