//! HTTP/1.1 as bytes: a reader of messages that knows framing and nothing else, independent of the code under test.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::soon;

/// One message as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head, byte for byte, with its empty line.
    pub head: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The body with its framing.
    pub raw_body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub complete: bool,
}

/// What a head says about the length of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Sized(usize),
    Chunked,
    ToTheEnd,
}

impl Message {
    /// The first line, without its line end.
    pub fn first_line(&self) -> &str {
        self.text().split("\r\n").next().unwrap()
    }

    /// The status code of an answer.
    pub fn status(&self) -> u16 {
        self.first_line().split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| {
            panic!("no status in {:?}", self.first_line());
        })
    }

    /// All values of a field, in order. Names are compared without case.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.text()
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The only value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.fields(name);
        assert!(fields.len() < 2, "{name} is there {} times in {:?}", fields.len(), self.text());
        fields.first().copied()
    }

    /// The body as text.
    pub fn body_text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body_text()))
    }

    /// The head as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.head).unwrap()
    }

    fn length(&self) -> Option<Length> {
        if self.fields("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Some(Length::Chunked);
        }
        self.fields("content-length").first().map(|length| Length::Sized(length.parse().unwrap()))
    }
}

/// Bytes read ahead of what was asked for.
#[derive(Default)]
pub struct Buffered {
    bytes: Vec<u8>,
    pub ended: bool,
}

impl Buffered {
    /// Reads once; `false` at the end (a reset counts as one).
    pub async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        let mut chunk = [0; 16 * 1024];
        match soon("bytes", from.read(&mut chunk)).await {
            Ok(0) | Err(_) => {
                self.ended = true;
                false
            }
            Ok(count) => {
                self.bytes.extend_from_slice(&chunk[..count]);
                true
            }
        }
    }

    /// What has been read and not taken.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes
    }

    /// Exactly this many bytes, or fewer at the end.
    pub async fn take(&mut self, from: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
        while self.bytes.len() < count && self.fill(from).await {}
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count).collect()
    }

    /// Up to and with this mark; `None` if the end comes first.
    pub async fn take_through(&mut self, from: &mut (impl AsyncRead + Unpin), mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) {
                return Some(self.bytes.drain(..at + mark.len()).collect());
            }
            if !self.fill(from).await {
                return None;
            }
        }
    }

    /// A head; `None` at the end.
    pub async fn head(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<Message> {
        let head = self.take_through(from, b"\r\n\r\n").await?;
        Some(Message { head, ..Message::default() })
    }

    /// A request.
    pub async fn request(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<Message> {
        let mut message = self.head(from).await?;
        let length = message.length().unwrap_or(Length::Sized(0));
        self.body(from, &mut message, length).await;
        Some(message)
    }

    /// An answer to a request with this method. Interim answers are answers.
    pub async fn response(&mut self, from: &mut (impl AsyncRead + Unpin), method: &str) -> Option<Message> {
        let mut message = self.head(from).await?;
        let bodyless = method == "HEAD" || matches!(message.status(), 100..200 | 204 | 304);
        let length = match bodyless {
            true => Length::Sized(0),
            false => message.length().unwrap_or(Length::ToTheEnd),
        };
        self.body(from, &mut message, length).await;
        Some(message)
    }

    /// The body of a message whose head has been read.
    pub async fn body(&mut self, from: &mut (impl AsyncRead + Unpin), message: &mut Message, length: Length) {
        match length {
            Length::Sized(length) => {
                message.body = self.take(from, length).await;
                message.raw_body = message.body.clone();
                message.complete = message.body.len() == length;
            }
            Length::ToTheEnd => {
                while self.fill(from).await {}
                message.body = std::mem::take(&mut self.bytes);
                message.raw_body = message.body.clone();
                message.complete = true;
            }
            Length::Chunked => message.complete = self.chunks(from, message).await.is_some(),
        }
    }

    async fn chunks(&mut self, from: &mut (impl AsyncRead + Unpin), message: &mut Message) -> Option<()> {
        loop {
            let line = self.take_through(from, b"\r\n").await?;
            message.raw_body.extend_from_slice(&line);
            let digits = std::str::from_utf8(&line).unwrap().trim_end().split(';').next().unwrap().to_owned();
            let size = usize::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("no chunk size: {digits:?}"));
            if size == 0 {
                break;
            }
            let chunk = self.take(from, size + 2).await;
            message.raw_body.extend_from_slice(&chunk);
            message.body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            (chunk.len() == size + 2).then_some(())?;
        }
        loop {
            let line = self.take_through(from, b"\r\n").await?;
            message.raw_body.extend_from_slice(&line);
            if line == b"\r\n" {
                return Some(());
            }
        }
    }
}
