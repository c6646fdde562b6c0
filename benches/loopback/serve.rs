//! What the children do: be the upstream, forward bytes, or be the proxy.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use bearer_proxy::app::{self, Proxy};
use bearer_proxy::config::{self, Config};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::load::length_of;
use super::storm;

/// The token: as long as a JWT with a few claims.
pub fn token() -> String {
    "eyJhbGciOiJSUzI1NiJ9.".chars().chain(std::iter::repeat('x')).take(900).collect()
}

/// `upstream BYTES`, `storm CALLERS`, `forward ADDRESS WORKERS` or `proxy ADDRESS WORKERS MODEL [asked]` (which asks the
/// upstream for its tokens). Says its address on standard output, and serves until standard input ends.
pub fn run(arguments: &[String]) {
    let [what, argument, rest @ ..] = arguments else { panic!("{arguments:?}") };
    let workers = rest.first().map_or("1", String::as_str);
    if what == "proxy" {
        let (to, model) = (argument.parse().unwrap(), rest.get(1).map_or("shared", String::as_str));
        let config = config(to, workers, model, rest.get(2).is_some_and(|grant| grant == "asked"));
        return serve_from(app::runtime(&config).unwrap(), proxy(&config));
    }
    let runtime = Builder::new_multi_thread().worker_threads(workers.parse().unwrap()).enable_all().build().unwrap();
    match what.as_str() {
        "upstream" => serve_from(runtime, upstream(argument.parse().unwrap())),
        "storm" => serve_from(runtime, storm::upstream(argument.parse().unwrap())),
        "forward" => serve_from(runtime, forward(argument.parse().unwrap())),
        _ => panic!("{what}"),
    }
}

/// On this runtime, until standard input ends.
fn serve_from(runtime: Runtime, starts: impl Future<Output = SocketAddr>) {
    let ended = async {
        println!("{}", starts.await);
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
    };
    runtime.block_on(ended);
    runtime.shutdown_background();
}

/// Answers every request that bears the token, and is as long as its connection's first, with that many bytes.
async fn upstream(bytes: usize) -> SocketAddr {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n");
    let answer: &[u8] = Vec::leak([head.into_bytes(), vec![b'x'; bytes]].concat());
    let wanted: &str = String::leak(format!(": Bearer {}\r\n", token()));
    listen(move |stream| serve(stream, answer, wanted)).await
}

async fn serve(mut stream: TcpStream, answer: &'static [u8], wanted: &'static str) {
    let mut buffer = vec![0; 64 * 1024];
    let mut length = None;
    loop {
        let mut come = 0;
        while length.is_none_or(|length| come < length) {
            let Ok(read @ 1..) = stream.read(&mut buffer[come..]).await else { return };
            come += read;
            if length.is_none() {
                length = length_of(&buffer[..come]);
            }
        }
        let has_token = memmem::find(&buffer[..come], wanted.as_bytes()).is_some();
        let answer = if has_token { answer } else { b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Copies bytes both ways: what a proxy costs that looks at nothing.
async fn forward(to: SocketAddr) -> SocketAddr {
    listen(move |mut downstream| async move {
        let Ok(mut upstream) = TcpStream::connect(to).await else { return };
        upstream.set_nodelay(true).unwrap();
        let _ = copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER).await;
    })
    .await
}

const BUFFER: usize = 64 * 1024;

/// The proxy's, with everything on that a user has on.
fn config(to: SocketAddr, workers: &str, model: &str, asks: bool) -> Config {
    let grant = if asks {
        format!("client_credentials, token_url: 'http://{to}/token', client_id: bench, client_secret: bench")
    } else {
        format!("static, token: {}", token())
    };
    let file = format!(
        "listeners: [{{address: '127.0.0.1:0'}}]\n\
         admin: {{address: '127.0.0.1:0'}}\n\
         workers: {{threads: {workers}, model: {model}}}\n\
         log: {{format: json, access: /dev/null}}\n\
         credentials: {{api: {{grant: {grant}}}}}\n\
         routes: [{{path: /api/, upstream: 'http://{to}/v1/', credential: api}}]\n"
    );
    config::parse(&file, Path::new("bench.yaml"), &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

async fn proxy(config: &Config) -> SocketAddr {
    let proxy = Proxy::start(config).await.unwrap();
    let address = proxy.addresses()[0];
    // It serves until the process ends.
    std::mem::forget(proxy);
    address
}

pub async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}
