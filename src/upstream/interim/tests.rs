//! The reader over a pipe: what it lets through, and what it finds.

use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::upstream::pool::{MAX_HEAD, MAX_HEADERS};

/// A connection whose upstream is a test.
struct Connection {
    reader: Reader<DuplexStream>,
    upstream: DuplexStream,
    waiter: Arc<Waiter>,
}

/// Counts how often it is called.
#[derive(Default)]
struct Waiter(AtomicUsize);

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    fn new() -> Self {
        let (near, upstream) = duplex(1024 * 1024);
        Self { reader: Reader::new(near, Arc::new(Watch::new())), upstream, waiter: Arc::default() }
    }

    /// A request that wants interim answers has gone.
    async fn asked() -> Self {
        let mut connection = Self::new();
        connection.reader.watch.interim().expect();
        connection.write().await;
        connection
    }

    async fn write(&mut self) {
        self.reader.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }

    /// These bytes come, and are read as they came; in two pieces if they are many.
    async fn comes(&mut self, bytes: &[u8]) {
        self.reader.watch.drive().serves(&Waker::from(Arc::clone(&self.waiter)));
        self.upstream.write_all(bytes).await.unwrap();
        let mut read = vec![0; bytes.len() + 1];
        let mut length = 0;
        while length < bytes.len() {
            length += self.reader.read(&mut read[length..]).await.unwrap();
        }
        assert_eq!(length, bytes.len());
        assert!(read.starts_with(bytes), "{}", bytes.escape_ascii());
    }

    /// What has been found, as `103 link=</a>,x=y`.
    fn found(&self) -> Vec<String> {
        let found = Mutex::new(Vec::new());
        self.reader.watch.interim().pass_on(&|status: StatusCode, fields: HeaderMap| {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
            found.lock().unwrap().push(format!("{} {}", status.as_u16(), fields.join(",")));
        });
        found.into_inner().unwrap()
    }

    fn calls(&self) -> usize {
        self.waiter.0.load(Ordering::Relaxed)
    }
}

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nx: y\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const FOUND: &str = "103 link=</a>,x=y";

fn several() -> String {
    format!("{HINT}HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 199\nx: 1\n\n{HINT}{OK}{HINT}")
}

// R34
#[tokio::test]
async fn interim_heads_are_found_however_they_are_cut() {
    let several = several();
    for first in 0..several.len() {
        for second in first..several.len() {
            let mut connection = Connection::asked().await;
            for piece in [&several[..first], &several[first..second], &several[second..]] {
                if !piece.is_empty() {
                    connection.comes(piece.as_bytes()).await;
                }
            }
            assert_eq!(connection.found(), [FOUND, "199 x=1", FOUND], "cut at {first} and {second}");
        }
    }
}

// R34
#[tokio::test]
async fn interim_heads_are_found_byte_by_byte_and_each_is_told_of_at_once() {
    let mut connection = Connection::asked().await;
    for byte in HINT.bytes() {
        assert_eq!((connection.found().len(), connection.calls()), (0, 0));
        connection.comes(&[byte]).await;
    }
    assert_eq!(connection.calls(), 1);
    assert_eq!(connection.found(), [FOUND]);
    for byte in several().bytes() {
        connection.comes(&[byte]).await;
    }
    assert_eq!(connection.found(), [FOUND, "199 x=1", FOUND]);
    assert!(!connection.reader.expects && connection.reader.heads.is_empty());
}

// R24, R34: what comes before a request goes, or after its answer has begun, is nobody's.
#[tokio::test]
async fn nothing_is_found_but_between_a_request_and_its_answer() {
    let mut connection = Connection::new();
    connection.comes(HINT.as_bytes()).await;
    connection.reader.watch.interim().expect();
    connection.comes(HINT.as_bytes()).await;
    assert_eq!(connection.found(), [""; 0], "the request has not gone");

    connection.write().await;
    connection.comes(HINT.as_bytes()).await;
    assert_eq!(connection.found(), [FOUND]);
    connection.comes(b"HTTP/1.1 200 OK\r\n").await;
    connection.comes(HINT.as_bytes()).await;
    connection.write().await;
    connection.comes(HINT.as_bytes()).await;
    assert_eq!(connection.found(), [""; 0], "the answer has begun; the rest of the request's body may still go");
    assert_eq!(connection.calls(), 1);
}

#[tokio::test]
async fn nothing_is_found_for_who_does_not_want_it() {
    let mut connection = Connection::new();
    connection.write().await;
    connection.comes(several().as_bytes()).await;
    assert_eq!((connection.found().len(), connection.calls()), (0, 0));
}

// R24, R34
#[tokio::test]
async fn what_hyper_takes_for_no_interim_head_is_none_and_ends_the_search() {
    let long = format!("HTTP/1.1 103 X\r\nx: {}", "a".repeat(MAX_HEAD));
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 103 X\r\nno colon\r\n\r\n",
        "HTTP/1.1 103 X\r\nx : y\r\n\r\n",
        "HTTP/1.1 103 X\r\nx: y\r\n folded\r\n\r\n",
        "HTTP/1.1 103 X\r\nx: \0\r\n\r\n",
        "HTTP/1.1 103 X\ry\r\n\r\n",
        "HTTP/1.1 1x3 X\r\n\r\n",
        "HTTP/1.1 10 X\r\n\r\n",
        "HTTP/1.1 1033 X\r\n\r\n",
        "HTTP/1.2 103 X\r\n\r\n",
        "http/1.1 103 X\r\n\r\n",
        "\r\nHTTP/1.1 103 X\r\n\r\n",
        "HTTP/1.1  103 X\r\n\r\n",
        "\x16\x03\x01",
        &format!("HTTP/1.1 103 X\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1)),
        &format!("{long}\r\n\r\n"),
        &long,
    ] {
        let mut connection = Connection::asked().await;
        connection.comes(head.as_bytes()).await;
        connection.comes(HINT.as_bytes()).await;
        assert_eq!((connection.found().len(), connection.calls()), (0, 0), "{head:.60}");
        assert!(!connection.reader.expects && connection.reader.heads.is_empty(), "{head:.60}");
    }
}

// R34
#[tokio::test]
async fn a_head_within_the_limits_is_found_whole() {
    let long = "a".repeat(MAX_HEAD - 100);
    let mut connection = Connection::asked().await;
    connection.comes(format!("HTTP/1.1 103 X\r\nx: {long}\r\n\r\n").as_bytes()).await;
    assert_eq!(connection.found(), [format!("103 x={long}")]);
    connection.comes(format!("HTTP/1.1 103 X\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS)).as_bytes()).await;
    assert_eq!(connection.found(), [format!("103 {}", vec!["x=y"; MAX_HEADERS].join(","))]);
}

// R34
#[tokio::test]
async fn a_flood_waits_within_bounds_and_the_next_head_passes_once_it_is_gone() {
    let mut connection = Connection::asked().await;
    for _ in 0..10 {
        connection.comes(HINT.repeat(1_000).as_bytes()).await;
    }
    assert_eq!(connection.found().len(), FOUND_MAX / HINT.len());
    connection.comes(HINT.as_bytes()).await;
    assert_eq!(connection.found(), [FOUND]);
}

#[tokio::test]
async fn writing_in_pieces_is_what_the_stream_does() {
    let (near, mut upstream) = duplex(1024);
    assert!(near.is_write_vectored());
    let watch = Arc::new(Watch::new());
    watch.interim().expect();
    let mut reader = Reader::new(near, watch);
    assert!(reader.is_write_vectored());
    let pieces = [IoSlice::new(b"GET / HTTP/1.1\r\n"), IoSlice::new(b"\r\n")];
    assert_eq!(reader.write_vectored(&pieces).await.unwrap(), 18);
    assert!(reader.expects);
    reader.shutdown().await.unwrap();
    let mut written = String::new();
    upstream.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "GET / HTTP/1.1\r\n\r\n");
}

#[tokio::test]
async fn a_long_answer_is_read_in_a_first_piece_and_a_rest() {
    let mut connection = Connection::asked().await;
    let answer = "x".repeat(100_000);
    let mut buffer = vec![0; 2 * answer.len()];
    for _ in 0..2 {
        connection.upstream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(connection.reader.read(&mut buffer).await.unwrap(), FIRST);
        assert_eq!(connection.reader.read(&mut buffer).await.unwrap(), answer.len() - FIRST);
        connection.write().await;
    }
}

// R24: what is there to be read is read before the next request is written.
#[tokio::test]
async fn who_was_held_up_after_a_long_answer_writes_nothing_before_he_has_looked() {
    let Connection { mut reader, mut upstream, .. } = Connection::asked().await;
    reader.part();
    upstream.write_all(&[b'x'; LITTLE + 10]).await.unwrap();
    let (watch, done) = (Arc::clone(&reader.watch), Arc::<Mutex<Vec<_>>>::default());
    let noted = Arc::clone(&done);
    let reads_and_writes = move |cx: &mut Context<'_>| {
        let (mut room, mut read) = ([0; 4 * LITTLE], 0);
        let mut buf = ReadBuf::new(&mut room);
        while Pin::new(&mut reader).poll_read(cx, &mut buf).is_ready() {
            read = buf.filled().len();
        }
        let written = match Pin::new(&mut reader).poll_write(cx, b"GET") {
            Poll::Ready(written) => written.unwrap(),
            Poll::Pending => 0,
        };
        noted.lock().unwrap().push((read, written));
        Poll::Pending
    };
    let mut kept = Box::pin(watch.drive().keep(Box::new(reads_and_writes)));
    for _ in 0..2 {
        assert!(kept.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(*done.lock().unwrap(), [(LITTLE, 0), (10, 3)]);
}
