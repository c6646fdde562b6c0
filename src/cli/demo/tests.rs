//! The demo without a proxy: what it prints, and how it ends.

use std::cell::Cell;
use std::future::{pending, ready};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const ARGUMENTS: DemoArguments = DemoArguments { port: Some(0), admin_port: Some(0), lifetime: 20 };

fn screen<W: Write>(out: W) -> Screen<W> {
    Screen { out, colour: false, began: Instant::now() }
}

/// A writer that does what it is told.
struct Pipe(io::ErrorKind);

impl Write for Pipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

/// A token request of the Applixure demo client, to where the configuration says.
async fn ask(configuration: &str) {
    let url = configuration
        .lines()
        .find_map(|line| line.trim().strip_prefix("token_url: http://")?.strip_suffix("/oauth2/token"));
    let body = "grant_type=client_credentials&client_id=applixure-demo&client_secret=key+secret%26more";
    let mut stream = TcpStream::connect(url.unwrap()).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_demo_says_what_to_type_and_then_what_happens() {
    let stopped = Cell::new(false);
    let mut out = Vec::new();
    let start_proxy = async |configuration: String| {
        ask(&configuration).await;
        Ok::<_, io::Error>(async || stopped.set(true))
    };
    perform(&ARGUMENTS, start_proxy, screen(&mut out), ready(())).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in ["/zpax/orders\n", "/apiax/rules\n", "/eagle/assets\n", "/applixure/devices\n", "/zpax/revoke\n"] {
        assert!(text.contains(line), "{text}");
    }
    let last = text.lines().last().unwrap();
    assert!(
        last.ends_with("Applixure        issued    token 1 for client_credentials, lives 20 s, scope account-all:read"),
        "{text}"
    );
    assert!(!text.contains('\x1b') && stopped.get());
}

#[tokio::test]
async fn a_reader_that_went_away_ends_the_demo_and_any_other_failure_is_told() {
    for (kind, well) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
        let stopped = Cell::new(false);
        let start_proxy = async |_| Ok::<_, io::Error>(async || stopped.set(true));
        let ended = perform(&ARGUMENTS, start_proxy, screen(Pipe(kind)), pending()).await;
        assert_eq!((ended.is_ok(), stopped.get()), (well, true));
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_start_is_an_error() {
    let start_proxy = async |_| Err::<fn() -> std::future::Ready<()>, _>("no");
    let ended = perform(&ARGUMENTS, start_proxy, screen(io::sink()), pending()).await;
    assert_eq!(ended.unwrap_err().to_string(), "the proxy does not start: no");
}

#[test]
fn a_taken_port_is_replaced_unless_it_was_asked_for() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    let other = Port::choose("port", None, taken).unwrap();
    assert_eq!(other.instead_of, Some(taken));
    assert_ne!(other.address.port(), taken);
    let error = Port::choose("port", Some(taken), 8080).err().unwrap();
    assert!(error.to_string().contains(&format!("127.0.0.1:{taken}")) && error.to_string().contains("--port"));
}

#[tokio::test]
async fn colour_is_for_terminals() {
    let systems = Systems::start(Duration::from_secs(20)).await.unwrap();
    let mut events = systems.events().subscribe();
    systems.iter().next().unwrap().0.revoke_all();
    let event = events.recv().await.unwrap();
    let mut out = Vec::new();
    Screen { out: &mut out, colour: true, began: Instant::now() }.show(&event).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("z-Pax            \x1b[33mrevoked   0 live token(s)\x1b[0m\n"));
}
