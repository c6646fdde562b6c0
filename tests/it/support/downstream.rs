//! A caller that sends exact bytes and reads exact bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{Buffered, Message};
use super::{Proxy, soon};

/// A connection to the proxy; over TCP, unless said otherwise.
pub struct Downstream<S = TcpStream> {
    pub stream: S,
    buffered: Buffered,
}

impl Downstream {
    pub async fn of(proxy: &Proxy) -> Self {
        Self::connect(proxy.address()).await
    }

    pub async fn connect(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    /// On a connection that is there already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffered: Buffered::default() }
    }

    /// Sends these bytes. The proxy may have closed already: then they are lost, as in life.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("room to write", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Ends the sending half.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer (an interim one counts), to a request with this method.
    pub async fn answer_to(&mut self, method: &str) -> Option<Message> {
        self.buffered.response(&mut self.stream, method).await
    }

    /// The next answer; there must be one.
    pub async fn answer(&mut self) -> Message {
        self.answer_to("GET").await.expect("an answer")
    }

    /// The head of the next answer alone; its body can then be read with [`Downstream::read`].
    pub async fn head(&mut self) -> Message {
        self.buffered.head(&mut self.stream).await.expect("an answer's head")
    }

    /// Sends a request as it is written, and reads the answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        let method = String::from_utf8_lossy(request.as_ref()).split(' ').next().unwrap_or_default().to_owned();
        self.send(request).await;
        self.answer_to(&method).await.expect("an answer")
    }

    /// A GET of this target, with nothing but `Host`.
    pub async fn get(&mut self, target: &str) -> Message {
        self.ask(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// A POST of this body with its length.
    pub async fn post(&mut self, target: &str, body: &str) -> Message {
        let length = body.len();
        self.ask(format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")).await
    }

    /// This many bytes, or fewer at the end.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        self.buffered.take(&mut self.stream, count).await
    }

    /// Throws away what was read ahead of what was asked for, and says how many bytes that was: the rest can then be read
    /// from the stream itself.
    pub fn take_ahead(&mut self) -> usize {
        std::mem::take(&mut self.buffered).waiting().len()
    }

    /// Bytes up to and with this mark.
    pub async fn read_through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        self.buffered.take_through(&mut self.stream, mark).await
    }

    /// Everything until the proxy closes (a reset counts as closing).
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.buffered.fill(&mut self.stream).await {}
        let count = self.buffered.waiting().len();
        self.buffered.take(&mut self.stream, count).await
    }

    /// Whether the proxy has closed, or does so soon; bytes that come instead fail the test.
    pub async fn is_closed(&mut self) -> bool {
        assert_eq!(String::from_utf8_lossy(self.buffered.waiting()), "", "bytes are left");
        let mut byte = [0];
        match soon("the connection's end", self.stream.read(&mut byte)).await {
            Ok(0) | Err(_) => true,
            Ok(_) => false,
        }
    }
}
