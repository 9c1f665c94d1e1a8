//! A login over TLS, with the system's root certificates. What these are is the environment's to say (`SSL_CERT_FILE`), so the side
//! that asks is a process of its own: this program again.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};

use super::*;

const ASK: &str = "PHASEGATE_TEST_ASK_OVER_TLS";

/// A certificate for localhost that signs itself, and its key; nothing where `openssl` is not installed.
fn certificate() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) => assert!(status.success(), "openssl makes a certificate"),
        Err(_) => {
            eprintln!("not run: openssl is not installed");
            return None;
        }
    }
    Some(folder)
}

/// A Kafka server over TLS; its port.
fn server(folder: &Path) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            fake::serve(&mut stream, port, &all(), &answer);
        }
    });
    port
}

/// Asks `server` in a process whose root certificates are those in `roots`.
fn asked_with(roots: &Path, server: &str) -> String {
    let Output { status, stdout, stderr } = Command::new(std::env::current_exe().unwrap())
        .args(["tls::asks_over_tls", "--exact", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .env(ASK, server)
        .output()
        .unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

#[test]
#[ignore = "the other tests of TLS start it, in a process of its own"]
fn asks_over_tls() {
    let Ok(bootstrap) = std::env::var(ASK) else { return };
    let security = Security::SaslSsl { user: "gate".to_owned(), password: PASSWORD.to_owned() };
    match reach().kafka(&KafkaAddress { bootstrap, security }, &[]) {
        Ok(reply) => println!("answered: {:?}", reply.value.brokers),
        Err(error) => println!("{:?}: {error}", error.kind),
    }
}

#[test]
fn a_login_goes_over_tls_with_the_roots_of_the_system() {
    let Some(folder) = certificate() else { return };
    let port = server(folder.path());
    let said = asked_with(&folder.path().join("cert.pem"), &format!("localhost:{port}"));
    assert!(said.contains("answered: [Broker"), "{said}");
}

#[test]
fn another_certificate_is_not_trusted() {
    let (Some(folder), Some(other)) = (certificate(), certificate()) else { return };
    let port = server(folder.path());
    let said = asked_with(&other.path().join("cert.pem"), &format!("localhost:{port}"));
    assert!(said.contains("Unreachable: ") && said.contains("BadSignature"), "{said}");
    // For another name than the one that was asked.
    let said = asked_with(&folder.path().join("cert.pem"), &format!("127.0.0.1:{port}"));
    assert!(said.contains("Unreachable: ") && said.contains("not valid for name"), "{said}");
}

#[test]
fn without_root_certificates_nothing_is_sent() {
    let Some(folder) = certificate() else { return };
    let none = folder.path().join("none.pem");
    std::fs::write(&none, "").unwrap();
    let said = asked_with(&none, &format!("localhost:{}", server(folder.path())));
    assert!(said.contains("Refused: ") && said.contains("no root certificates"), "{said}");
}

#[test]
fn a_server_without_tls_gets_no_password() {
    let Some(folder) = certificate() else { return };
    let cluster = KafkaResponder::start(guarded()).unwrap();
    let said = asked_with(&folder.path().join("cert.pem"), &cluster.address());
    assert!(said.contains("Unreachable: "), "{said}");
}
