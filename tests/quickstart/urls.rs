//! Connection strings of every kind, TLS, and what is said when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mysql::prelude::Queryable;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use crate::proxy::{Proxy, Verdict};
use crate::support::{Run, Server, quickstart, run, temporary_folder, wait_until};

/// A password with every character that means something in a URL, a shell or SQL.
const PASSWORD: &str = r#"p@ss:/?#[]!$&'()*+,;=%41 "<>\^`{|}~é密"#;

/// The password as it stands in a URL.
fn encoded() -> String {
    PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
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

    /// Writes a certificate for a host and its key.
    fn issue(&self, host: &str, certificate: &Path, key: &Path) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::generate().unwrap();
        fs::write(key, pair.serialize_pem()).unwrap();
        fs::write(certificate, params.signed_by(&pair, &self.issuer).unwrap().pem()).unwrap();
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
        let ca = OnceLock::new();
        let server = Server::configured(|folder| {
            let ca = ca.get_or_init(|| Ca::new(folder, "ca.pem"));
            let path = |name| folder.join(name);
            ca.issue("localhost", &path("cert.pem"), &path("key.pem"));
            ca.issue("client", &path("client.pem"), &path("client-key.pem"));
            "[security]\nssl-ca = 'ca.pem'\nssl-cert = 'cert.pem'\nssl-key = 'key.pem'\n".to_owned()
        });
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
        Self { server, ca: ca.into_inner().unwrap() }
    }

    /// The URL of a user. In `parameters`, `{CA}` and `{FOLDER}` are the CA's file and its folder.
    pub fn url(&self, scheme: &str, user: &str, parameters: &str) -> String {
        let folder = self.server.folder.to_str().unwrap();
        let parameters = parameters.replace("{CA}", "{FOLDER}/ca.pem").replace("{FOLDER}", folder);
        format!("{scheme}://{user}:{}@localhost:{}/tls{parameters}", encoded(), self.server.port)
    }

    fn run(&self, scheme: &str, user: &str, parameters: &str) -> Run {
        run_without_password(&self.url(scheme, user, parameters))
    }

    /// Makes the server use another certificate.
    fn use_certificate(&self, issuer: &Ca, host: &str) {
        let path = |name| self.server.folder.join(name);
        issuer.issue(host, &path("cert.pem"), &path("key.pem"));
        self.server.execute(&["ALTER INSTANCE RELOAD TLS"]);
    }
}

/// Runs at the most detailed level of the log, and fails if that shows the password.
#[track_caller]
fn run_without_password(url: &str) -> Run {
    let run = run(quickstart(url).env("RUST_LOG", "trace"));
    for form in [PASSWORD.to_owned(), encoded(), encoded().to_lowercase()] {
        assert!(!run.stdout.contains(&form) && !run.stderr.contains(&form), "password in {run:#?}");
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
const TLS_PARAMETERS: [(&str, bool, bool); 19] = [
    ("?ssl-mode=REQUIRED", false, false),
    ("?ssl_mode=REQUIRED&ssl-mode=DISABLED", false, false),
    ("?ssl-mode=VERIFY_CA&ssl-ca={CA}", true, false),
    ("?ssl-mode=verify_ca&ssl-mode=REQUIRED&ssl_ca={CA}", true, false),
    ("?ssl-mode=VERIFY_IDENTITY&ssl-ca={CA}", true, true),
    ("?SSL-MODE=verify-identity&SSL_CA={CA}", true, true),
    ("?ssl_mode=verify_identity&sslca={CA}", true, true),
    ("?ssl-mode=DISABLED&ssl-mode=VERIFY_IDENTITY&ssl-ca={CA}", true, true),
    ("?sslaccept=strict&sslcert={CA}", true, true),
    ("?sslaccept=accept_invalid_certs", false, false),
    ("?sslaccept=accept_invalid_certs&sslaccept=strict&sslcert={CA}", true, true),
    ("?ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=true", true, true),
    ("?ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=false", true, false),
    ("?ssl_ca={CA}&ssl_verify_cert=true", true, false),
    ("?ssl_ca={CA}&ssl_verify_cert=false&ssl_verify_identity=false", false, false),
    ("?ssl_verify_cert=false", false, false),
    ("?ssl_ca={CA}", true, true),
    ("?ssl-mode=DISABLED&ssl_ca={CA}", true, true),
    ("?root_cert_path={CA}&charset=utf8mb4", true, true),
];

#[test]
fn each_tls_parameter_gives_the_tls_it_asks_for() {
    let tls = TlsServer::start();
    // The right certificate is accepted, for a user that must use TLS.
    for (parameters, _, _) in TLS_PARAMETERS.into_iter().filter(|(_, verifies_ca, _)| *verifies_ca)
    {
        assert_passed_with("on", &tls.run("mysql", "secure", parameters), parameters);
    }
    for (scheme, user, parameters) in [
        ("TiDB", "sha2", "?charset=utf8mb4&ssl-mode=VERIFY_IDENTITY&ssl-ca={CA}"),
        ("mysql2", "sha2", "?ssl_mode=verify_identity&sslca={CA}"),
        ("mysql+pymysql", "native", "?ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=true"),
    ] {
        assert_passed_with("on", &tls.run(scheme, user, parameters), parameters);
    }
    let client = "cert_chain_path={FOLDER}/client.pem&priv_key_path={FOLDER}/client-key.pem";
    let client = tls.run("mysql", "x509", &format!("?ssl-ca={{CA}}&{client}"));
    assert_passed_with("on", &client, "client certificate");
    // Otherwise there is no TLS: the proxy reads the statements.
    let proxy = Proxy::start(tls.server.port, |_| Verdict::Pass);
    for parameters in ["", "?ssl-mode=DISABLED", "?charset=utf8mb4", "?ssl_verify_identity=false"] {
        let url = tls.url("mysql", "native", parameters);
        let url = url.replace(&format!(":{}/", tls.server.port), &format!(":{}/", proxy.port));
        let before = proxy.packets();
        assert_passed_with("off", &run_without_password(&url), parameters);
        assert!(proxy.packets() > before + 10, "the proxy saw no statements");
    }
    let needs_tls =
        ["1045", "TLS off", "if the account requires TLS, add ssl-mode=VERIFY_IDENTITY"];
    tls.run("mysql", "secure", "").assert_refused(1, &needs_tls);
    tls.run("mysql", "sha2", "?ssl-mode=DISABLED").assert_refused(1, &needs_tls);
    tls.run("mysql", "x509", "?ssl-ca={CA}").assert_refused(1, &["1045", "TLS on"]);

    // A wrong certificate matters only where it is verified.
    let other = Ca::new(&tls.server.folder, "other.pem");
    for (issuer, host, words) in
        [(&tls.ca, "other.example", "not valid for name"), (&other, "localhost", "UnknownIssuer")]
    {
        tls.use_certificate(issuer, host);
        for (parameters, verifies_ca, verifies_name) in TLS_PARAMETERS {
            let run = tls.run("mysql", "secure", parameters);
            if if host == "localhost" { verifies_ca } else { verifies_name } {
                run.assert_refused(1, &["localhost", "cannot set up TLS", words, "add ssl-ca="]);
            } else {
                assert_passed_with("on", &run, parameters);
            }
        }
    }
    tls.use_certificate(&tls.ca, "localhost");

    // A server that requires TLS. TiDB allows this setting only in a session with TLS.
    let root = format!("mysql://root@localhost:{}", tls.server.port);
    let root = format!("{root}/?root_cert_path={}", tls.ca.file.display());
    let mut session = mysql::Conn::new(mysql::Opts::from_url(&root).unwrap()).unwrap();
    session.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    // TiDB may take a moment until it applies the setting.
    wait_until("TLS is required", || tls.run("mysql", "native", "").status != Some(0));
    // Its error has no SQL state, so the driver cannot read it.
    let words = ["Invalid SqlStateMarker value", "not the MySQL protocol", "requires TLS"];
    tls.run("mysql", "native", "").assert_refused(1, &words);
    assert_passed_with("on", &tls.run("mysql", "native", "?ssl-ca={CA}"), "required");
}

#[test]
fn files_without_a_certificate_are_refused_by_name() {
    let tls = TlsServer::shared();
    let folder = temporary_folder();
    let file = folder.path().join("bad.pem");
    let begin = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n";
    for (content, words) in [
        (None, "/bad.pem'"),
        (Some(String::new()), "/bad.pem'"),
        (Some("garbage\n".to_owned()), "/bad.pem'"),
        (Some(begin.to_owned()), "/bad.pem'"),
        // The driver reads this one, and does not name it.
        (Some(format!("{begin}-----END CERTIFICATE-----\n")), "certificate files"),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        for parameters in [
            "?ssl-mode=REQUIRED&ssl-ca={BAD}",
            "?root_cert_path={BAD}",
            "?ssl-ca={CA}&cert_chain_path={BAD}&priv_key_path={FOLDER}/client-key.pem",
            "?ssl-ca={CA}&cert_chain_path={FOLDER}/client.pem&priv_key_path={BAD}",
        ] {
            let parameters = parameters.replace("{BAD}", file.to_str().unwrap());
            tls.run("mysql", "secure", &parameters).assert_refused(2, &[words]);
        }
    }
}

#[test]
fn strings_that_cannot_be_honoured_are_refused() {
    let server = Server::shared();
    for (scheme, tail, words) in [
        ("mysql", "/d?charset=latin1", "parameter charset"),
        ("mysql", "/d?ssl-mode=PREFERRED", "use ssl-mode=DISABLED, REQUIRED, VERIFY_CA or VERIFY_"),
        ("mysql", "/d?ssl-mode", "parameter ssl-mode"),
        ("mysql", "/d?ssl-ca=", "''"),
        ("mysql", "/d?sslaccept=perhaps", "sslaccept=strict or accept_invalid_certs"),
        ("mysql", "/d?ssl_verify_cert=yes", "true or false"),
        ("mysql", "/d?ssl_verify_identity=", "parameter ssl_verify_identity"),
        ("mysql", "/d?ssl_key=/x", "parameter ssl_key"),
        ("mysql", "/d?sslpassword=secret", "parameter sslpassword"),
        ("mysql", "/d?socket=/tmp/x", "parameter socket"),
        ("mysql", "/d?danger_accept_invalid_certs=true", "parameter danger_accept_invalid_certs"),
        ("mysql", "/d?cert_chain_path=/x", "priv_key_path"),
        ("mysql", "/d/e", "%2F"),
        ("mysql", "", "no database"),
        ("mysql", "/?ssl-mode=REQUIRED", "no database"),
        ("jdbc:mysql", "/d", "not a MySQL URL: use mysql://"),
        ("postgresql", "/d", "not a MySQL URL"),
        ("mariadb", "/d", "not a MySQL URL"),
    ] {
        let url = format!("{scheme}://root:{}@127.0.0.1:{}{tail}", encoded(), server.port);
        let refused = run_without_password(&url);
        refused.assert_refused(2, &["DATABASE_URL", words]);
        assert!(!refused.stderr.contains("secret"), "{refused:#?}");
    }
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'd'").is_empty());
    // If a URL cannot be read, no part of the password is shown.
    for url in [
        "",
        "mysql://root@/d",
        "mysql://root:secret@127.0.0.1:99999/d",
        "mysql://root:secret@127.0.0.1:0/d",
        "mysql://root:se/cret@127.0.0.1:4000/d",
        "mysql://root:12/cret@127.0.0.1:4000/d",
        "mysql://root:12?cret@127.0.0.1:4000/d",
        "mysql://root:12#cret@127.0.0.1:4000/d",
        "mysql://root:se?cret=@127.0.0.1:4000/d",
        "mysql//root:secret@127.0.0.1:4000/d",
        "root:secret@127.0.0.1:4000/d",
        "root:secret://127.0.0.1",
        "mysql://root:secret@127.0.0.1:4000/d#?ssl-mode=REQUIRED",
        "mysql://root:secret@[::1/d",
        "mysql://root:secret@a b/d",
    ] {
        let refused = run(quickstart(url).env("RUST_LOG", "trace"));
        refused.assert_refused(2, &["DATABASE_URL"]);
        assert!(!refused.stderr.contains("cret"), "{url}: {refused:#?}");
    }
}

#[test]
fn tls_is_on_for_tidb_cloud_and_missing_on_a_server_without_it() {
    // No resolver looks up a name with a label of more than 63 letters.
    let label = "x".repeat(64);
    for (host, tls) in [
        (format!("{label}.prod.aws.tidbcloud.com"), "TLS on"),
        (format!("{label}.TiDBCloud.COM."), "TLS on"),
        (format!("{label}.tidbcloud.com.example"), "TLS off"),
    ] {
        let url = format!("mysql://prefix.root:p@{host}/d?charset=utf8mb4");
        let refused = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
        let name = format!("{}:3306, {tls}: connect: ", host.to_lowercase());
        refused.assert_refused(1, &[&name, "; check the host in DATABASE_URL, and the network"]);
        // A connection without TLS to another machine gets a warning.
        assert_eq!(refused.stderr.contains("[WARN ]"), tls == "TLS off", "{refused:#?}");
    }
    let server = Server::shared();
    let local = run(&mut quickstart(&server.url("no_tls")));
    assert!(!local.assert_passed().stderr.contains("WARN"), "{local:#?}");
    for parameters in ["?ssl-mode=REQUIRED", "?sslaccept=strict", "?ssl_verify_cert=true"] {
        let refused = run(&mut quickstart(&(server.url("no_tls") + parameters)));
        refused.assert_refused(1, &["Client requires secure connection but server"]);
    }
}
