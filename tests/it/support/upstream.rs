//! An API that does what a test tells it, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::soon;
use super::wire::{Buffered, Message};

/// A listener whose connections are served by a test's own function.
pub struct Upstream {
    address: SocketAddr,
    seen: Seen,
    task: JoinHandle<()>,
}

/// What an upstream has seen; cheap to clone.
#[derive(Clone, Default)]
pub struct Seen {
    inner: Arc<SeenInner>,
}

#[derive(Default)]
struct SeenInner {
    requests: Mutex<Vec<Message>>,
    connections: Mutex<usize>,
    changed: Notify,
}

/// One connection from the proxy.
pub struct Connection {
    pub stream: TcpStream,
    /// Which connection this is, from 1.
    pub number: usize,
    buffered: Buffered,
    seen: Seen,
}

impl Upstream {
    /// Serves each connection with `serve`.
    pub async fn start<F>(serve: impl Fn(Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let recorded = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = recorded.connected();
                let connection = Connection { stream, number, buffered: Buffered::default(), seen: recorded.clone() };
                tokio::spawn(serve(connection));
            }
        });
        Self { address, seen, task }
    }

    /// Answers every request with these bytes, on connections that stay open.
    pub async fn answering(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::answering_by(move |_| answer.clone()).await
    }

    /// Answers every request with what `answer` makes of it, on connections that stay open.
    pub async fn answering_by(answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            let answer = answer.clone();
            async move {
                while let Some(request) = connection.request().await {
                    connection.send(answer(&request)).await;
                }
            }
        })
        .await
    }

    /// `200 OK` with this text.
    pub async fn saying(text: &str) -> Self {
        Self::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())).await
    }

    /// Takes requests, and answers each with this text once `gate` has a permit for it.
    pub async fn gated(text: &str, gate: &Arc<tokio::sync::Semaphore>) -> Self {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        let gate = Arc::clone(gate);
        Self::start(move |mut connection| {
            let (answer, gate) = (answer.clone(), Arc::clone(&gate));
            async move {
                while connection.request().await.is_some() {
                    gate.acquire().await.unwrap().forget();
                    connection.send(&answer).await;
                }
            }
        })
        .await
    }

    /// 200 to requests that bear exactly this token, else 401.
    pub async fn accepting(token: &str) -> Self {
        let right = format!("Bearer {token}");
        Self::answering_by(move |request| match request.field("authorization") == Some(right.as_str()) {
            true => [b"HTTP/1.1 200 OK\r\ncontent-length: ", request.body.len().to_string().as_bytes(), b"\r\n\r\n", &request.body].concat(),
            false => b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\ncontent-length: 6\r\n\r\nrefuse".to_vec(),
        })
        .await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The whole requests that have come so far.
    pub fn requests(&self) -> Vec<Message> {
        self.seen.requests()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    pub fn requests(&self) -> Vec<Message> {
        self.inner.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.inner.connections.lock().unwrap()
    }

    /// Waits until this many requests have come.
    pub async fn wait_for(&self, count: usize) -> Vec<Message> {
        soon(&format!("{count} requests at the upstream"), async {
            loop {
                let changed = self.inner.changed.notified();
                if self.inner.requests.lock().unwrap().len() >= count {
                    return self.requests();
                }
                changed.await;
            }
        })
        .await
    }

    fn connected(&self) -> usize {
        let mut connections = self.inner.connections.lock().unwrap();
        *connections += 1;
        *connections
    }

    fn record(&self, request: &Message) {
        self.inner.requests.lock().unwrap().push(request.clone());
        self.inner.changed.notify_waiters();
    }
}

impl Connection {
    /// The next whole request, recorded; `None` at the end of the connection.
    pub async fn request(&mut self) -> Option<Message> {
        let request = self.buffered.request(&mut self.stream).await?;
        self.seen.record(&request);
        Some(request)
    }

    /// The head of the next request alone, recorded.
    pub async fn head(&mut self) -> Option<Message> {
        let head = self.buffered.head(&mut self.stream).await?;
        self.seen.record(&head);
        Some(head)
    }

    /// What was read ahead of what was asked for; the rest can then be read from the stream itself.
    pub fn read_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffered).waiting().to_vec()
    }

    /// This many bytes, or fewer at the end.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        self.buffered.take(&mut self.stream, count).await
    }

    /// Everything until the proxy closes.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.buffered.fill(&mut self.stream).await {}
        let count = self.buffered.waiting().len();
        self.buffered.take(&mut self.stream, count).await
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("room to write", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        let stream = self.stream.into_std().unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
