//! TLS on both sides: listeners with a certificate, upstreams whose certificate is verified (RFC 9110 §4.3.4; R42).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::support::certificates::{Pair, connect_tls};
use super::support::wire::{Buffered, Message};
use super::support::{
    Authority, Downstream, Files, Proxy, ProxyBuilder, Upstream, eventually, parse, proxy_yaml_error, soon,
};

/// `tls` of a listener whose files are `server.pem` and `server.key` there.
fn listener(files: &Files, more: &str) -> String {
    let directory = files.directory().display();
    format!("    tls: {{certificate: {directory}/server.pem, private_key: {directory}/server.key{more}}}\n")
}

/// A proxy that shows a certificate for `proxy.example`.
async fn start(upstream: &Upstream, files: &Files, authority: &Authority, more: &str) -> Proxy {
    files.pair("server", &authority.issue("proxy.example"));
    let tls = listener(files, more);
    Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", "").listener(&tls).start().await
}

async fn over_tls(proxy: &Proxy, authority: &Authority, shown: Option<&Pair>) -> std::io::Result<Over> {
    connect_tls(proxy.address(), "proxy.example", &authority.client(shown)).await.map(Downstream::over)
}

type Over = Downstream<TlsStream<TcpStream>>;

/// The certificate that a connection was shown.
fn shown_to(downstream: &Over) -> CertificateDer<'static> {
    downstream.stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_listener_with_a_certificate_serves_http_1_1_over_tls() {
    let (upstream, files, authority) = (Upstream::saying("hello").await, Files::new(), Authority::new("ours"));
    let proxy = start(&upstream, &files, &authority, "").await;

    let mut downstream = over_tls(&proxy, &authority, None).await.unwrap();
    for _ in 0..3 {
        assert_eq!(downstream.get("/a").await.body_text(), "hello");
    }
    assert_eq!(downstream.post("/b", &"x".repeat(200_000)).await.status(), 200);

    assert_eq!(upstream.requests()[3].body.len(), 200_000);
    assert_eq!(upstream.requests()[0].field("authorization"), Some("Bearer T0KEN"));
}

// RFC 7301
#[tokio::test]
async fn http_1_1_is_agreed_on_by_alpn_and_nothing_else_is() {
    let (upstream, files, authority) = (Upstream::saying("hello").await, Files::new(), Authority::new("ours"));
    let proxy = start(&upstream, &files, &authority, "").await;
    let offering = async |protocols: &[&[u8]]| {
        let mut config = (*authority.client(None)).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        connect_tls(proxy.address(), "proxy.example", &Arc::new(config)).await
    };

    let both = offering(&[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let none = offering(&[]).await.unwrap();
    assert_eq!(none.get_ref().1.alpn_protocol(), None);
    assert_eq!(Downstream::over(none).get("/").await.status(), 200);
    assert!(offering(&[b"h2"]).await.is_err());
    assert!(offering(&[b"spdy/3"]).await.is_err());
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_no_answer_and_disturbs_nobody() {
    let (upstream, files, authority) = (Upstream::saying("hello").await, Files::new(), Authority::new("ours"));
    let proxy = start(&upstream, &files, &authority, "").await;
    let mut encrypted = over_tls(&proxy, &authority, None).await.unwrap();

    let mut plain = Downstream::of(&proxy).await;
    plain.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = plain.read_to_end().await;

    // At most a TLS alert (RFC 8446 §6): content type 21.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    assert_eq!(encrypted.get("/").await.status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}

// R56
#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let (upstream, files, authority) = (Upstream::saying("hello").await, Files::new(), Authority::new("ours"));
    files.pair("server", &authority.issue("proxy.example"));
    let limits = "    timeouts: {tls_handshake: 1s}\n    limits: {connections: 2}\n";
    let limits = format!("{}{limits}", listener(&files, ""));
    let proxy = Proxy::new().route("/", &upstream.url(), "none", "").listener(&limits).start().await;
    let began = Instant::now();
    let mut silent = Downstream::of(&proxy).await;
    let mut half = Downstream::of(&proxy).await;
    // The head of a TLS record that never comes.
    half.send([22, 3, 1, 2, 0, 1]).await;

    // It waits for a place, which both have, and then keeps that.
    let mut third = over_tls(&proxy, &authority, None).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(990));
    assert!(silent.is_closed().await);
    half.read_to_end().await;

    assert_eq!(third.get("/").await.status(), 200);
    let open = format!("connections_open{{listener=\"{}\"}}", proxy.address());
    eventually("only the third is open", || proxy.figure(&open) == 1).await;
    drop(third);
    eventually("its place is free", || proxy.figure(&open) == 0).await;
}

#[tokio::test]
async fn with_client_ca_a_certificate_of_the_caller_is_required() {
    let (upstream, files) = (Upstream::saying("hello").await, Files::new());
    let (authority, callers, strangers) =
        (Authority::new("ours"), Authority::new("callers"), Authority::new("strangers"));
    let ca = files.write("clients.pem", &callers.pem());
    let proxy = start(&upstream, &files, &authority, &format!(", client_ca: {}", ca.display())).await;
    // In TLS 1.3 a client learns of the refusal with its first read.
    let served = async |shown: Option<&Pair>| match over_tls(&proxy, &authority, shown).await {
        Ok(mut downstream) => {
            downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            downstream.answer_to("GET").await.map(|answer| answer.status())
        }
        Err(_) => None,
    };

    assert_eq!(served(None).await, None);
    assert_eq!(served(Some(&strangers.issue("app"))).await, None);
    assert_eq!(served(Some(&authority.issue("app"))).await, None, "the listener's own authority is another");
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(served(Some(&callers.issue("app"))).await, Some(200));
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_new_connections_without_a_reload() {
    let (upstream, files, authority) = (Upstream::saying("hello").await, Files::new(), Authority::new("ours"));
    let proxy = start(&upstream, &files, &authority, "").await;
    let mut old = over_tls(&proxy, &authority, None).await.unwrap();
    let first = shown_to(&old);

    let renewed = authority.issue("proxy.example");
    files.pair("server", &renewed);
    assert_ne!(first, renewed.der());
    soon("the new certificate", async {
        // Files are looked at once a second at most.
        while shown_to(&over_tls(&proxy, &authority, None).await.unwrap()) != renewed.der() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;

    assert_eq!(old.get("/").await.status(), 200, "connections from before go on");
}

// R61
#[tokio::test]
async fn a_reload_reads_the_roots_of_callers_again() {
    let (upstream, files) = (Upstream::saying("hello").await, Files::new());
    let (authority, first, second) = (Authority::new("ours"), Authority::new("first"), Authority::new("second"));
    let ca = files.write("clients.pem", &first.pem());
    files.pair("server", &authority.issue("proxy.example"));
    let tls = listener(&files, &format!(", client_ca: {}", ca.display()));
    let config = Proxy::new().route("/", &upstream.url(), "none", "").listener(&tls).config();
    let proxy = Proxy::from(&config).await;
    let (by_first, by_second) = (first.issue("app"), second.issue("app"));
    let served = async |shown: &Pair| match over_tls(&proxy, &authority, Some(shown)).await {
        Ok(mut downstream) => {
            downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            downstream.answer_to("GET").await.is_some()
        }
        Err(_) => false,
    };
    assert!(served(&by_first).await && !served(&by_second).await);

    files.write("clients.pem", &second.pem());
    proxy.running().reload(&config).await.unwrap();

    assert!(!served(&by_first).await && served(&by_second).await);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_before_anything_is_opened() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    files.pair("server", &authority.issue("proxy.example"));
    files.pair("other", &authority.issue("proxy.example"));
    std::fs::copy(files.path("other.key"), files.path("server.key")).unwrap();
    let config = Proxy::new().route("/", "http://localhost:1", "none", "").listener(&listener(&files, "")).config();

    let Err(error) = bearer_proxy::app::Proxy::start(&config).await else { panic!("it started") };

    let text = error.to_string();
    assert!(text.contains("server.key") && text.contains("is not the key of the first certificate"), "{text}");
}

/// An API over TLS that answers every request with 200 and its own name, and remembers what it was shown.
struct Encrypted {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Message>,
    names: Vec<Option<String>>,
    alpn: Vec<Option<Vec<u8>>>,
    certificates: Vec<Option<CertificateDer<'static>>>,
}

impl Encrypted {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let recorded = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&recorded)));
            }
        });
        Self { address, seen }
    }

    async fn serve(stream: TcpStream, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
        use tokio::io::AsyncWriteExt;
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        {
            let session = stream.get_ref().1;
            let mut seen = seen.lock().unwrap();
            seen.names.push(session.server_name().map(str::to_owned));
            seen.alpn.push(session.alpn_protocol().map(<[u8]>::to_vec));
            seen.certificates.push(session.peer_certificates().map(|chain| chain[0].clone().into_owned()));
        }
        let mut buffered = Buffered::default();
        while let Some(request) = buffered.request(&mut stream).await {
            seen.lock().unwrap().requests.push(request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nencrypted").await;
        }
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// A route here; `tls`: keys of `upstream.tls`.
    fn route(&self, host: &str, tls: &str) -> ProxyBuilder {
        let url = format!("https://{host}:{}/v1/", self.address.port());
        Proxy::new()
            .static_token("api", "T0KEN")
            .raw_route(&format!("  - {{path: /, upstream: {{url: '{url}', tls: {{{tls}}}}}, credential: api}}\n"))
    }
}

// R42
#[tokio::test]
async fn an_upstream_is_verified_with_its_own_ca_and_its_name_is_sent() {
    let (files, authority) = (Files::new(), Authority::new("theirs"));
    let api = Encrypted::start(Authority::server(&authority.issue("localhost"), None)).await;
    let ca = files.write("ca.pem", &authority.pem());
    let proxy = api.route("localhost", &format!("ca: {}", ca.display())).start().await;

    let answer = Downstream::of(&proxy).await.get("/orders?open=1").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "encrypted"));
    let seen = api.seen.lock().unwrap();
    assert_eq!(seen.requests[0].first_line(), "GET /v1/orders?open=1 HTTP/1.1");
    assert_eq!(seen.requests[0].field("host"), Some(format!("localhost:{}", api.address.port()).as_str()));
    assert_eq!(seen.names, [Some("localhost".to_owned())]);
    assert!(matches!(seen.alpn[0].as_deref(), None | Some(b"http/1.1")));
}

// R42, R50
#[tokio::test]
async fn an_upstream_whose_certificate_is_not_right_gets_no_byte_and_no_token() {
    let (files, theirs, others) = (Files::new(), Authority::new("theirs"), Authority::new("others"));
    let ca = format!("ca: {}", files.write("ca.pem", &theirs.pem()).display());
    for (what, shown, tls) in [
        ("another authority", others.issue("localhost"), ca.as_str()),
        ("the system's roots alone", theirs.issue("localhost"), ""),
        ("another name", theirs.issue("other.example"), ca.as_str()),
        ("a name that only the address has", theirs.issue("127.0.0.1"), ca.as_str()),
    ] {
        let api = Encrypted::start(Authority::server(&shown, None)).await;
        let proxy = api.route("localhost", tls).start().await;
        let answer = Downstream::of(&proxy).await.get("/").await;
        assert_eq!(answer.status(), 502, "{what}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=tls_certificate_error"), "{what}");
        assert_eq!(api.requests(), 0, "{what}");
    }
}

// R42
#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let (files, authority) = (Files::new(), Authority::new("theirs"));
    let api = Encrypted::start(Authority::server(&authority.issue("127.0.0.1"), None)).await;
    let ca = files.write("ca.pem", &authority.pem());
    let proxy = api.route("127.0.0.1", &format!("ca: {}", ca.display())).start().await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(api.seen.lock().unwrap().names, [None], "an address is no SNI (RFC 6066 §3)");
}

// R42
#[tokio::test]
async fn there_is_no_way_back_to_plain_text() {
    // Answers whatever comes, as a plain server answers a handshake that it takes for a request.
    let heard = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&heard);
    let plain = Upstream::start(move |mut connection| {
        let recorder = Arc::clone(&recorder);
        async move {
            connection.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            let bytes = connection.read_to_end().await;
            recorder.lock().unwrap().push(bytes);
        }
    })
    .await;
    let url = plain.url().replace("http://127.0.0.1", "https://localhost");
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/", &url, "api", "").start().await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!(answer.status(), 502);
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=tls_protocol_error"));
    eventually("the end of the connection", || heard.lock().unwrap().len() == 1).await;
    assert_eq!(heard.lock().unwrap()[0][0], 22, "nothing but a TLS handshake came");
}

#[tokio::test]
async fn server_name_is_the_name_that_is_sent_and_verified() {
    let (files, authority) = (Files::new(), Authority::new("theirs"));
    let api = Encrypted::start(Authority::server(&authority.issue("api.internal"), None)).await;
    let ca = files.write("ca.pem", &authority.pem());
    let proxy = api.route("127.0.0.1", &format!("ca: {}, server_name: api.internal", ca.display())).start().await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);

    let seen = api.seen.lock().unwrap();
    assert_eq!(seen.names, [Some("api.internal".to_owned())]);
    let host = format!("127.0.0.1:{}", api.address.port());
    assert_eq!(seen.requests[0].field("host"), Some(host.as_str()), "Host is the URL's all the same");
}

#[tokio::test]
async fn an_upstream_that_asks_for_our_certificate_gets_it() {
    let (files, theirs, ours) = (Files::new(), Authority::new("theirs"), Authority::new("ours"));
    let api = Encrypted::start(Authority::server(&theirs.issue("localhost"), Some(&ours))).await;
    let ca = files.write("ca.pem", &theirs.pem());
    let identity = ours.issue("bearer-proxy");
    let (certificate, key) = files.pair("client", &identity);
    let with = format!("ca: {}, certificate: {}, private_key: {}", ca.display(), certificate.display(), key.display());
    let proxy = api.route("localhost", &with).start().await;
    let without = api.route("localhost", &format!("ca: {}", ca.display())).start().await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(api.seen.lock().unwrap().certificates, [Some(identity.der())]);
    let refused = Downstream::of(&without).await.get("/").await;
    assert_eq!(refused.status(), 502);
    assert_eq!(api.requests(), 1);
}

// R61
#[tokio::test]
async fn a_reload_reads_an_upstreams_roots_again() {
    let (files, first, second) = (Files::new(), Authority::new("first"), Authority::new("second"));
    let api = Encrypted::start(Authority::server(&second.issue("localhost"), None)).await;
    let ca = files.write("ca.pem", &first.pem());
    let config = parse(&api.route("localhost", &format!("ca: {}", ca.display())).text());
    let proxy = Proxy::from(&config).await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 502);

    files.write("ca.pem", &second.pem());
    proxy.running().reload(&config).await.unwrap();

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
}

#[test]
fn files_of_tls_that_cannot_be_read_are_told_by_line() {
    let error = proxy_yaml_error(
        "listeners:\n  - address: 127.0.0.1:0\n    tls: {certificate: /no/c.pem, private_key: /no/c.key}\n\
         routes:\n  - upstream:\n      url: https://api.example/\n      tls: {ca: /no/ca.pem}\n    credential: none\n",
    );
    let text = error.to_string();
    for (place, file) in [("3:", "/no/c.pem"), ("3:", "/no/c.key"), ("7:", "/no/ca.pem")] {
        let found = text.lines().any(|line| line.starts_with(&format!("proxy.yaml:{place}")) && line.contains(file));
        assert!(found, "{file} in\n{text}");
    }
}
