//! A closed loop: on each connection the next request goes out when the last answer is in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::serve::token;

/// Connections that stay open.
pub struct Load {
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Of an answer, once there has been one: all are as long.
    length: Option<usize>,
    buffer: Vec<u8>,
    latencies: Vec<Duration>,
}

/// What came of a run.
pub struct Outcome {
    pub elapsed: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Load {
    pub async fn connect(address: SocketAddr, count: usize, request: Vec<u8>) -> Self {
        let mut connections = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (buffer, latencies) = (vec![0; 256 * 1024], Vec::new());
            connections.push(Connection { stream, request: request.clone(), length: None, buffer, latencies });
        }
        Self { connections }
    }

    /// Requests, until that much time has passed.
    pub async fn run(&mut self, time: Duration) -> Outcome {
        let began = Instant::now();
        let end = began + time;
        let running: Vec<_> = self.connections.drain(..).map(|one| tokio::spawn(one.run(end))).collect();
        let mut latencies = Vec::new();
        for one in running {
            let mut connection = one.await.unwrap();
            latencies.append(&mut connection.latencies);
            self.connections.push(connection);
        }
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Outcome { elapsed, latencies }
    }
}

impl Connection {
    async fn run(mut self, end: Instant) -> Self {
        let mut now = Instant::now();
        while now < end {
            self.exchange().await;
            let after = Instant::now();
            self.latencies.push(after - now);
            now = after;
        }
        self
    }

    async fn exchange(&mut self) {
        self.stream.write_all(&self.request).await.unwrap();
        let mut come = 0;
        while self.length.is_none_or(|length| come < length) {
            let read = self.stream.read(&mut self.buffer[come..]).await.unwrap();
            assert!(read > 0, "closed in the middle of an answer");
            come += read;
            if self.length.is_none() {
                self.length = length_of(&self.buffer[..come]);
            }
        }
        let is_good = self.length == Some(come) && self.buffer.starts_with(b"HTTP/1.1 200 ");
        assert!(is_good, "{}", String::from_utf8_lossy(&self.buffer[..come.min(300)]));
    }
}

impl Outcome {
    pub fn requests(&self) -> usize {
        self.latencies.len()
    }

    pub fn percentile(&self, share: f64) -> Duration {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// What is sent, as wrk would write it. `authorized`: with the token that the upstream wants.
pub fn request(address: SocketAddr, sends: usize, authorized: bool) -> Vec<u8> {
    let (method, length) = match sends {
        0 => ("GET", String::new()),
        length => ("POST", format!("Content-Length: {length}\r\n")),
    };
    let token = if authorized { format!("Authorization: Bearer {}\r\n", token()) } else { String::new() };
    let head = format!(
        "{method} /api/s/200 HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nAccept: */*\r\n{length}{token}\r\n"
    );
    [head.into_bytes(), vec![b'x'; sends]].concat()
}

/// The length of a message whose head is there.
pub fn length_of(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(head + body.map_or(0, |text| text.parse().unwrap()))
}
