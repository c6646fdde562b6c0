use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::identity::Identity;
use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        // Renamed into place, as certbot and Kubernetes do: the new file is another one even within a clock tick.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    fn identity(&self, name: &str, (certificate, key): (String, String)) -> IdentitySettings {
        IdentitySettings {
            certificate: self.write(&format!("{name}.pem"), &certificate),
            private_key: self.write(&format!("{name}.key"), &key),
        }
    }
}

/// A whole handshake in memory, with a byte of data so that TLS 1.3 tickets arrive.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("api.example").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    server.writer().write_all(b"!").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    let mut byte = [0];
    client.reader().read_exact(&mut byte).unwrap();
    Ok((client, server))
}

fn trusting(files: &Files, authority: &Authority) -> TlsSettings {
    TlsSettings { ca: Some(files.write("ca.pem", &authority.0.pem())), ..TlsSettings::default() }
}

#[test]
fn a_server_of_our_own_authority_is_trusted_and_no_other() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = server_config(&files.identity("server", authority.issue("api.example")), None).unwrap();
    let client = Arc::new(client_config(&trusting(&files, &authority)).unwrap());
    handshake(&client, &server).unwrap();

    let system_alone = Arc::new(client_config(&TlsSettings::default()).unwrap());
    assert!(matches!(handshake(&system_alone, &server), Err(rustls::Error::InvalidCertificate(_))));

    let other_name = server_config(&files.identity("other", authority.issue("other.example")), None).unwrap();
    assert!(matches!(handshake(&client, &other_name), Err(rustls::Error::InvalidCertificate(_))));
}

#[test]
fn without_system_roots_those_built_in_and_ours_are_used() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = server_config(&files.identity("server", authority.issue("api.example")), None).unwrap();
    let client = |extra: &[_]| {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let verifier = client::bundled(extra).unwrap();
        Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    };
    handshake(&client(&[authority.0.der().clone()]), &server).unwrap();
    assert!(handshake(&client(&[]), &server).is_err());
}

#[test]
fn the_system_s_verifier_is_made_once() {
    let one = client::verifier(&TlsSettings::default()).unwrap();
    let two = client::verifier(&TlsSettings::default()).unwrap();
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn a_caller_s_certificate_is_required_where_client_ca_is_given() {
    let (files, authority, stranger) = (Files::new(), Authority::new(), Authority::new());
    let ca = files.write("clients.pem", &authority.0.pem());
    let server = server_config(&files.identity("server", authority.issue("api.example")), Some(&ca)).unwrap();

    let mut settings = trusting(&files, &authority);
    let client = Arc::new(client_config(&settings).unwrap());
    assert!(matches!(handshake(&client, &server), Err(rustls::Error::NoCertificatesPresented)));

    settings.identity = Some(files.identity("stranger", stranger.issue("caller.example")));
    let client = Arc::new(client_config(&settings).unwrap());
    assert!(matches!(handshake(&client, &server), Err(rustls::Error::InvalidCertificate(_))));

    settings.identity = Some(files.identity("caller", authority.issue("caller.example")));
    let client = Arc::new(client_config(&settings).unwrap());
    let (_, server) = handshake(&client, &server).unwrap();
    assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
}

#[test]
fn listeners_speak_http_1_1_and_resume_sessions() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = server_config(&files.identity("server", authority.issue("api.example")), None).unwrap();
    let client = client_config(&trusting(&files, &authority)).unwrap();
    assert!(client.alpn_protocols.is_empty());
    let mut client = client;
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Arc::new(client);

    let (first, _) = handshake(&client, &server).unwrap();
    assert_eq!(first.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (second, _) = handshake(&client, &server).unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_changed_certificate_is_read_again_and_a_broken_one_is_not_taken() {
    let (files, authority) = (Files::new(), Authority::new());
    let settings = files.identity("server", authority.issue("api.example"));
    let identity = Identity::load(&settings).unwrap();
    let first = identity.current.load_full();
    identity.reload_if_changed(Duration::ZERO);
    assert!(Arc::ptr_eq(&first, &identity.current.load_full()), "nothing has changed");

    let (certificate, key) = authority.issue("api.example");
    files.write("server.pem", &certificate);
    identity.reload_if_changed(Duration::ZERO);
    assert!(Arc::ptr_eq(&first, &identity.current.load_full()), "half a renewal keeps the old pair");
    files.write("server.key", &key);
    identity.reload_if_changed(Duration::ZERO);
    let second = identity.current.load_full();
    assert_ne!(first.cert, second.cert);

    fs::remove_file(&settings.private_key).unwrap();
    identity.reload_if_changed(Duration::ZERO);
    assert!(Arc::ptr_eq(&second, &identity.current.load_full()), "a missing file keeps the old pair");
}

#[test]
fn an_error_names_the_file_and_what_would_be_right() {
    let (files, authority) = (Files::new(), Authority::new());
    let good = files.identity("good", authority.issue("api.example"));
    let other = files.identity("other", authority.issue("api.example"));
    let certificate = fs::read_to_string(&good.certificate).unwrap();
    let says = |certificate: &PathBuf, private_key: &PathBuf| {
        let identity = IdentitySettings { certificate: certificate.clone(), private_key: private_key.clone() };
        server_config(&identity, None).unwrap_err().to_string()
    };

    let missing = files.0.path().join("missing.pem");
    assert_eq!(says(&missing, &good.private_key), format!("{}: no such file", missing.display()));
    assert!(says(&good.private_key, &good.private_key).contains("good.key: holds no certificate"));
    assert!(says(&good.certificate, &good.certificate).contains("good.pem: holds no private key"));
    let mismatch = says(&good.certificate, &other.private_key);
    assert!(mismatch.contains("other.key: is not the key of the first certificate in"), "{mismatch}");
    assert!(mismatch.contains("good.pem"));
    assert!(says(&files.write("cut.pem", &certificate[..200]), &good.private_key).contains("cut.pem: is damaged"));

    // The labels as OpenSSL writes them: `openssl genpkey -aes256`, `openssl genrsa -aes256 -traditional`.
    let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(says(&good.certificate, &files.write("8.key", pkcs8)).contains("8.key: holds an encrypted private key"));
    let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n";
    assert!(says(&good.certificate, &files.write("1.key", pkcs1)).contains("1.key: holds an encrypted private key"));

    let marked = files.write("marked.key", "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n");
    let damaged = says(&good.certificate, &marked);
    assert!(damaged.contains("marked.key: is damaged") && !damaged.contains("hunter2"), "{damaged}");

    let ca = server_config(&good, Some(&missing)).unwrap_err().to_string();
    assert!(ca.contains("missing.pem: no such file"), "{ca}");
    let ca = TlsSettings { ca: Some(good.private_key.clone()), ..TlsSettings::default() };
    assert!(client_config(&ca).unwrap_err().to_string().contains("good.key: holds no certificate"));
}
