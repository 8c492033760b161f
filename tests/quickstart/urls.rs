//! Connection strings of every kind, TLS, and what is said when it fails.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use mysql::prelude::Queryable;

use crate::proxy::{Proxy, Verdict};
use crate::support::{Run, Server, quickstart, run, temporary_folder, wait_until};

/// A password with every character that means something in a URL, a shell or SQL.
const PASSWORD: &str = r#"p@ss:/?#[]!$&'()*+,;=%41 "<>\^`{|}~é密"#;

/// The password as it stands in a URL.
fn encoded() -> String {
    PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// A CA that writes certificates for `localhost` and others.
struct Ca {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(name);
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for a host, and its key, to these files.
    fn issue(&self, host: &str, last_year: i32, certificate: &Path, key: &Path) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::generate().unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
        std::fs::write(certificate, params.signed_by(&pair, &self.issuer).unwrap().pem()).unwrap();
    }
}

/// A TiDB with a certificate for `localhost`, and accounts of each kind, all with `PASSWORD`.
pub struct TlsServer {
    pub server: Server,
    folder: PathBuf,
    ca: Ca,
}

impl TlsServer {
    /// The one for all tests that leave its certificate as it is, and do not mind that others use
    /// its database.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TlsServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        let folder = temporary_folder();
        let ca = Ca::new(&folder, "ca.pem");
        ca.issue("localhost", 2100, &folder.join("cert.pem"), &folder.join("key.pem"));
        ca.issue("client", 2100, &folder.join("client.pem"), &folder.join("client-key.pem"));
        let path = |name| folder.join(name).display().to_string();
        let (ca_file, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
        let server = Server::start(&format!(
            "[security]\nssl-ca = {ca_file:?}\nssl-cert = {cert:?}\nssl-key = {key:?}\n"
        ));
        let password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
        let mut statements = vec!["CREATE DATABASE tls".to_owned()];
        for (name, plugin, require) in [
            ("native", "mysql_native_password", "NONE"),
            ("sha2", "caching_sha2_password", "NONE"),
            ("secure", "mysql_native_password", "SSL"),
            ("x509", "mysql_native_password", "X509"),
        ] {
            let identified = format!("IDENTIFIED WITH {plugin} BY '{password}'");
            statements.push(format!("CREATE USER {name} {identified} REQUIRE {require}"));
            statements.push(format!("GRANT ALL ON tls.* TO {name}"));
        }
        server.execute(&statements.iter().map(String::as_str).collect::<Vec<_>>());
        Self { server, folder, ca }
    }

    /// The URL of an account of this server, its parameters with `{CA}` for the CA's file.
    pub fn url(&self, scheme: &str, user: &str, parameters: &str) -> String {
        let parameters = parameters.replace("{CA}", self.ca.file.to_str().unwrap());
        let parameters = parameters.replace("{FOLDER}", self.folder.to_str().unwrap());
        format!("{scheme}://{user}:{}@localhost:{}/tls{parameters}", encoded(), self.server.port)
    }

    /// Runs at the most talkative level, and fails if the password is in what comes out.
    fn run(&self, scheme: &str, user: &str, parameters: &str) -> Run {
        let url = self.url(scheme, user, parameters);
        without_password(run(quickstart(&url).env("RUST_LOG", "trace")))
    }

    /// Has the server use another certificate.
    fn use_certificate(&self, issuer: &Ca, host: &str, last_year: i32) {
        let (certificate, key) = (self.folder.join("cert.pem"), self.folder.join("key.pem"));
        issuer.issue(host, last_year, &certificate, &key);
        self.server.execute(&["ALTER INSTANCE RELOAD TLS"]);
    }
}

/// Fails if the password or its encoded form is in what came out; else gives back the run.
#[track_caller]
fn without_password(run: Run) -> Run {
    for form in [PASSWORD.to_owned(), encoded(), encoded().to_lowercase()] {
        assert!(!run.stdout.contains(&form) && !run.stderr.contains(&form), "password in {run:#?}");
    }
    run
}

/// Fails unless the run passed with TLS, or without.
#[track_caller]
fn assert_passed_with(tls: &str, run: &Run, what: &str) {
    assert!(run.status == Some(0), "{what}: {run:#?}");
    run.assert_passed();
    assert!(run.stderr.contains(&format!(", TLS {tls}, database")), "{what}: {run:#?}");
}

/// Parameters, and whether they demand that the certificate is of a CA that we trust, and that it
/// is for this host. All of them demand encryption.
const DEMANDS: [(&str, bool, bool); 19] = [
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
    // With the right certificate each connects, to an account that the server lets in by TLS only.
    for (parameters, _, _) in DEMANDS {
        assert_passed_with("on", &tls.run("mysql", "secure", parameters), parameters);
    }
    for (scheme, user, parameters) in [
        ("TiDB", "sha2", "?charset=utf8mb4&ssl-mode=VERIFY_IDENTITY&ssl-ca={CA}"),
        ("mysql2", "sha2", "?ssl_mode=verify_identity&sslca={CA}"),
        ("mysql+pymysql", "native", "?ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=true"),
        ("mysql+mysqldb", "sha2", "?ssl_mode=VERIFY_IDENTITY&ssl_ca={CA}"),
        (
            "mysql",
            "x509",
            "?ssl-ca={CA}&cert_chain_path={FOLDER}/client.pem&priv_key_path={FOLDER}/client-key.pem",
        ),
    ] {
        assert_passed_with("on", &tls.run(scheme, user, parameters), parameters);
    }
    // Without a demand there is no TLS: the proxy reads the statements.
    let proxy = Proxy::start(tls.server.port, |_| Verdict::Pass);
    for parameters in ["", "?ssl-mode=DISABLED", "?charset=utf8mb4", "?ssl_verify_identity=false"] {
        let url = tls.url("mysql", "native", parameters);
        let url = url.replace(&format!(":{}/", tls.server.port), &format!(":{}/", proxy.port));
        let before = proxy.packets();
        let plain = without_password(run(quickstart(&url).env("RUST_LOG", "trace")));
        assert_passed_with("off", &plain, parameters);
        assert!(proxy.packets() > before + 10, "the proxy saw no statements");
    }
    // Accounts that need TLS say so without it.
    let needs = ["1045", "TLS off", "if TLS is off, add ssl-mode=VERIFY_IDENTITY"];
    tls.run("mysql", "secure", "").assert_refused(1, &needs);
    tls.run("mysql", "sha2", "?ssl-mode=DISABLED").assert_refused(1, &needs);
    tls.run("mysql", "x509", "?ssl-ca={CA}").assert_refused(1, &["1045", "TLS on"]);
    let url = tls.url("mysql", "secure", "?ssl-ca={CA}").replace('%', "%25");
    let wrong = run(&mut quickstart(&url));
    wrong.assert_refused(1, &["1045", "TLS on", "correct user and password"]);

    // What verifies, fails on the wrong certificate; what does not, does not mind.
    let other = Ca::new(&tls.folder, "other.pem");
    for (issuer, host, last_year, words) in [
        (&tls.ca, "other.example", 2100, "not valid for name"),
        (&other, "localhost", 2100, "UnknownIssuer"),
        (&tls.ca, "localhost", 2021, "certificate expired"),
    ] {
        tls.use_certificate(issuer, host, last_year);
        // That it has expired is like that it is of a CA that we do not trust: a few will do.
        let step = if words.contains("expired") { 4 } else { 1 };
        for (parameters, chain, name) in DEMANDS.into_iter().step_by(step) {
            let run = tls.run("mysql", "secure", parameters);
            if if words.contains("name") { name } else { chain } {
                let advice = "add ssl-ca=";
                run.assert_refused(1, &["localhost", "cannot set up TLS", words, advice]);
            } else {
                assert_passed_with("on", &run, parameters);
            }
        }
    }
    // A CA file without a certificate is the environment's fault, not the deployment's.
    tls.use_certificate(&tls.ca, "localhost", 2100);
    let garbage = "Z2FyYmFnZQ==";
    let begin = "-----BEGIN CERTIFICATE-----";
    for content in [
        String::new(),
        "garbage\n".to_owned(),
        format!("{begin}\n{garbage}\n"),
        format!("{begin}\n{garbage}\n-----END CERTIFICATE-----\n"),
    ] {
        std::fs::write(tls.folder.join("garbage"), &content).unwrap();
        // What looks like a PEM file is read by the driver, which does not name it.
        let words = if content.contains("END") { "certificate files" } else { "/garbage'" };
        let ca = tls.run("mysql", "secure", "?ssl-ca={FOLDER}/garbage");
        ca.assert_refused(2, &[words]);
        let client = "?cert_chain_path={FOLDER}/garbage&priv_key_path={FOLDER}/client-key.pem";
        let client = tls.run("mysql", "secure", &format!("{client}&ssl-ca={{CA}}"));
        client.assert_refused(2, &[words]);
    }

    // A server that wants TLS from everybody.
    tls.use_certificate(&tls.ca, "localhost", 2100);
    // TiDB lets only a session with TLS ask for that.
    let url = format!(
        "mysql://root@localhost:{}/?root_cert_path={}",
        tls.server.port,
        tls.ca.file.display()
    );
    let mut session = mysql::Conn::new(mysql::Opts::from_url(&url).unwrap()).unwrap();
    session.query_drop("SET GLOBAL require_secure_transport = ON").unwrap();
    // TiDB reads its settings anew now and then, and may forget this one until the next time.
    let mut refused = tls.run("mysql", "native", "");
    wait_until("the server demands TLS", || {
        let demands = refused.status != Some(0);
        if !demands {
            refused = tls.run("mysql", "native", "");
        }
        demands
    });
    // TiDB's error has no SQL state so early, so the driver cannot read it.
    refused.assert_refused(
        1,
        &["Invalid SqlStateMarker value", "not MySQL's protocol", "requires TLS"],
    );
    assert_passed_with("on", &tls.run("mysql", "native", "?ssl-ca={CA}"), "secure transport");
}

#[test]
fn strings_that_cannot_be_honoured_are_refused_by_name() {
    let server = Server::shared();
    let folder = temporary_folder();
    let missing = folder.join("missing.pem").display().to_string();
    let ca = Ca::new(&folder, "ca.pem");
    let cases: &[(&str, &str, &[&str])] = &[
        ("mysql", "/d?charset=latin1", &["charset", "charset=utf8mb4"]),
        (
            "mysql",
            "/d?ssl-mode=BANANA",
            &["ssl-mode or its value", "DISABLED, REQUIRED, VERIFY_CA or"],
        ),
        ("mysql", "/d?ssl-mode=PREFERRED", &["ssl-mode", "VERIFY_IDENTITY"]),
        ("mysql", "/d?ssl-mode", &["ssl-mode", "ssl-mode=DISABLED"]),
        ("mysql", "/d?ssl-ca=", &["''"]),
        ("mysql", "/d?sslaccept=perhaps", &["sslaccept", "strict or accept_invalid_certs"]),
        ("mysql", "/d?ssl_verify_cert=yes", &["ssl_verify_cert or its value", "true or false"]),
        ("mysql", "/d?ssl_verify_identity=", &["ssl_verify_identity or its value"]),
        ("mysql", "/d?ssl_cert=/x", &["ssl_cert"]),
        ("mysql", "/d?ssl_key=/x", &["ssl_key"]),
        ("mysql", "/d?sslpassword=geheim", &["sslpassword"]),
        ("mysql", "/d?frobnicate=1", &["frobnicate"]),
        ("mysql", "/d?ssl-ca={MISSING}", &["missing.pem", "PEM"]),
        ("mysql", "/d?sslcert={MISSING}", &["missing.pem", "PEM"]),
        ("mysql", "/d?root_cert_path={MISSING}", &["missing.pem", "PEM"]),
        ("mysql", "/d?ssl-mode=REQUIRED&ssl-ca={MISSING}", &["missing.pem", "PEM"]),
        ("mysql", "/d?ssl-ca={FOLDER}", &["PEM"]),
        ("mysql", "/d?ssl-ca=/etc/hosts", &["/etc/hosts", "PEM"]),
        ("mysql", "/d/e", &["%2F"]),
        ("mysql", "/back%60tick", &["backtick"]),
        ("mysql", "/d?cert_chain_path={MISSING}&priv_key_path={CA}", &["missing.pem"]),
        ("mysql", "/d?cert_chain_path={CA}&priv_key_path={MISSING}", &["missing.pem"]),
        ("mysql", "/d?cert_chain_path={CA}", &["priv_key_path"]),
        ("mysql", "/d?tcp_keepalive_time_ms=x", &["tcp_keepalive_time_ms or its value"]),
        ("mysql", "/d?socket=/tmp/x", &["socket or its value"]),
        ("mysql", "/d?danger_accept_invalid_certs=true", &["danger_accept_invalid_certs or"]),
        ("mysql", "", &["no database"]),
        ("mysql", "/", &["no database"]),
        ("mysql", "/?ssl-mode=REQUIRED", &["no database"]),
        ("jdbc:mysql", "/d", &["not a MySQL URL"]),
        ("postgres", "/d", &["not a MySQL URL"]),
        ("postgresql", "/d", &["not a MySQL URL"]),
        ("mariadb", "/d", &["not a MySQL URL"]),
        ("http", "/d", &["not a MySQL URL"]),
    ];
    for (scheme, tail, words) in cases {
        let tail = tail.replace("{CA}", ca.file.to_str().unwrap()).replace("{MISSING}", &missing);
        let tail = tail.replace("{FOLDER}", folder.to_str().unwrap());
        let url = format!("{scheme}://root:{}@127.0.0.1:{}{tail}", encoded(), server.port);
        let refused = without_password(run(quickstart(&url).env("RUST_LOG", "trace")));
        refused.assert_refused(2, &[&["DATABASE_URL"], *words].concat());
        assert!(!refused.stderr.contains("geheim"), "{refused:#?}");
    }
    for (url, words) in [
        ("", "not a MySQL URL"),
        ("mysql:root@h/d", "use mysql://"),
        ("mysql://root@/d", "empty host"),
        ("mysql:///d", "use mysql://"),
        ("mysql://root@h:0/d", "port 0"),
    ] {
        run(&mut quickstart(url)).assert_refused(2, &["DATABASE_URL", words]);
    }
    // Not even of a URL that cannot be read is the password shown, nor any part of it.
    for url in [
        "mysql://root:geheim@127.0.0.1:99999/d",
        "mysql://root:geheim@127.0.0.1:0/d",
        "mysql://root:geheim@127.0.0.1:port/d",
        "mysql://root:geheim@/d",
        "mysql://root:ge/heim@127.0.0.1:4000/d",
        "mysql://root:12/heim@127.0.0.1:4000/d",
        "mysql://root:12?heim@127.0.0.1:4000/d",
        "mysql://root:12#heim@127.0.0.1:4000/d",
        "mysql://root:ge?heim=@127.0.0.1:4000/d",
        "mysql//root:geheim@127.0.0.1:4000/d",
        "mysql:root:geheim@127.0.0.1:4000/d",
        "root:geheim@127.0.0.1:4000/d",
        "root:geheim://127.0.0.1",
        "geheim",
        ":geheim@",
        "mysql://root:geheim@127.0.0.1:4000/d#?ssl-mode=REQUIRED",
        "mysql://root:geheim@[::1/d",
        "mysql://root:geheim@a b/d",
        "://root:geheim@127.0.0.1/d",
    ] {
        let refused = run(quickstart(url).env("RUST_LOG", "trace"));
        refused.assert_refused(2, &["DATABASE_URL"]);
        assert!(!refused.stderr.contains("heim"), "{url}: {refused:#?}");
    }
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'd'").is_empty());
}

#[test]
fn tls_asked_of_a_server_that_has_none() {
    for parameters in ["?ssl-mode=REQUIRED", "?sslaccept=strict", "?ssl_verify_cert=true"] {
        let refused = run(&mut quickstart(&(Server::shared().url("no_tls") + parameters)));
        refused.assert_refused(1, &["Client requires secure connection but server"]);
    }
}

#[test]
fn tidb_cloud_has_tls_without_asking() {
    // A label of more than 63 letters: a name that no resolver can be asked for.
    let label = "x".repeat(64);
    for host in [format!("{label}.prod.aws.tidbcloud.com"), format!("{label}.TiDBCloud.COM.")] {
        for parameters in ["", "?ssl-mode=REQUIRED", "?charset=utf8mb4"] {
            let url = format!("mysql://prefix.root:p@{host}:4000/d{parameters}");
            let refused = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
            refused.assert_refused(1, &[&host.to_lowercase(), "TLS on", "correct the host"]);
            assert!(!refused.stderr.contains("is not encrypted"), "{refused:#?}");
        }
    }
    let url = format!("mysql://root:p@{label}.tidbcloud.com.example:4000/d");
    let refused = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
    refused.assert_refused(1, &["TLS off", "correct the host"]);
    assert!(refused.stderr.contains("is not encrypted"), "{refused:#?}");
}

#[test]
fn only_a_host_elsewhere_gets_the_warning() {
    let port = Server::shared().port;
    for host in ["127.0.0.1", "localhost"] {
        let local = run(&mut quickstart(&format!("mysql://root@{host}:{port}/warning")));
        assert!(!local.assert_passed().stderr.contains("is not encrypted"), "{local:#?}");
    }
    let refused =
        run(quickstart(&format!("mysql://root@{}/d", "x".repeat(64))).env("TIDB_TIMEOUT", "1"));
    refused.assert_refused(1, &["xxx:3306", "correct the host"]);
    assert!(refused.stderr.contains("[WARN ] xxx"), "{refused:#?}");
}
