//! The guard alone: however the bytes are cut into pieces, the same ones are let through and the same verdict is given.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::*;

mod served;

pub(super) const LIMITS: Limits = Limits { head: 1024, fields: 10 };

/// An end of a connection whose other end sends these pieces and then no more.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a reader has seen, how it ended, and which request was refused.
#[derive(Debug, PartialEq)]
struct Outcome {
    seen: String,
    end: &'static str,
    refused: Option<(u64, u16)>,
}

fn read(pieces: Vec<Vec<u8>>, room: usize) -> Outcome {
    let handle = Arc::new(Handle::new(Instant::now()));
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut guard = Guard::new(Pieces(pieces), LIMITS, Arc::clone(&handle));
    let mut seen = Vec::new();
    let mut bytes = vec![0; room];
    let end = loop {
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut guard).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => break "end",
            Poll::Ready(Ok(())) => seen.extend_from_slice(buf.filled()),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => break "error",
            Poll::Ready(Err(_)) => break "another error",
            Poll::Pending => break "nothing more",
        }
    };
    let refused = (1..100).find_map(|ordinal| Some((ordinal, handle.refused(ordinal)?.status.as_u16())));
    Outcome { seen: seen.escape_ascii().to_string(), end, refused }
}

fn whole(bytes: &[u8]) -> Outcome {
    read(vec![bytes.to_vec()], 4096)
}

fn saw(seen: &str, end: &'static str, refused: Option<(u64, u16)>) -> Outcome {
    Outcome { seen: seen.as_bytes().escape_ascii().to_string(), end, refused }
}

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
const WEBSOCKET: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
const STAND_IN: &str = "GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

#[test]
fn good_requests_are_seen_as_they_are() {
    let all = [GOOD, POST, CHUNKED, GOOD].concat();
    assert_eq!(whole(all.as_bytes()), saw(&all, "end", None));
}

#[test]
fn in_place_of_a_bad_head_a_stand_in_is_seen_and_then_nothing() {
    let bytes = [GOOD, POST, "GET / HTTP/1.1\r\n\r\n", GOOD].concat();
    assert_eq!(whole(bytes.as_bytes()), saw(&[GOOD, POST, STAND_IN].concat(), "nothing more", Some((3, 400))));
}

#[test]
fn nothing_is_seen_after_a_bad_chunk() {
    let bytes =
        [GOOD, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", GOOD].concat();
    let until = bytes.find("0\r\n\r\n").unwrap();
    assert_eq!(whole(bytes.as_bytes()), saw(&bytes[..until], "error", Some((2, 400))));
}

#[test]
fn empty_lines_before_a_request_are_dropped_but_not_many() {
    let bytes = ["\r\n", GOOD, POST, "\r\n\r\n", GOOD].concat();
    assert_eq!(whole(bytes.as_bytes()), saw(&[GOOD, POST, GOOD].concat(), "end", None));
    assert_eq!(whole(["\r\n\r\n\r\n", GOOD].concat().as_bytes()), saw(STAND_IN, "nothing more", Some((1, 400))));
}

#[test]
fn a_part_of_a_head_is_not_seen() {
    assert_eq!(whole([GOOD, &GOOD[..20]].concat().as_bytes()), saw(GOOD, "end", None));
}

#[test]
fn what_follows_a_request_to_upgrade_is_not_seen_until_that_is_decided() {
    // R19
    let handle = Arc::new(Handle::new(Instant::now()));
    let bytes = [WEBSOCKET, GOOD, WEBSOCKET, "\0\nno HTTP"].concat();
    let mut guard = Guard::new(Pieces(VecDeque::from([bytes.into_bytes()])), LIMITS, Arc::clone(&handle));
    let mut see = || {
        let mut bytes = [0; 4096];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut guard).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(Ok(())) => String::from_utf8(buf.filled().to_vec()).unwrap(),
            _ => panic!("nothing is shown"),
        }
    };
    assert_eq!(see(), WEBSOCKET);
    handle.no_tunnel(1);
    assert_eq!(see(), [GOOD, WEBSOCKET].concat());
    handle.no_tunnel(2); // what is said of another request does not count
    handle.tunnel(3);
    assert_eq!(see(), "\0\nno HTTP");
    assert_eq!(see(), "");
}

/// What connections may bring, and what is nearly that.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        4 => Just(GOOD.to_owned()),
        3 => Just(POST.to_owned()),
        4 => Just(CHUNKED.to_owned()),
        1 => Just(WEBSOCKET.to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        1 => Just("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n".to_owned()),
        1 => Just(format!("GET /{} HTTP/1.1\r\n", "a".repeat(1020))),
        1 => Just(format!("{}X: {}\r\n\r\n", &GOOD[..25], "x".repeat(1010))),
        1 => Just("Y: z\r\n".repeat(11)),
        1 => "[ -~\r\n]{0,20}",
    ];
    let change = proptest::option::weighted(0.5, (any::<prop::sample::Index>(), "[\r\n \0a0;:]"));
    (proptest::collection::vec(message, 1..6), change).prop_map(|(messages, change)| {
        let mut bytes = messages.concat().into_bytes();
        if let (Some((index, byte)), false) = (change, bytes.is_empty()) {
            let at = index.index(bytes.len());
            bytes[at] = byte.as_bytes()[0];
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn how_the_bytes_are_cut_changes_nothing(
        bytes in any_bytes(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        room in prop_oneof![Just(1_usize), 2..64_usize, Just(4096)],
    ) {
        let expected = whole(&bytes);
        prop_assert_eq!(&read(bytes.iter().map(|byte| vec![*byte]).collect(), room), &expected);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect();
        prop_assert_eq!(&read(pieces, room), &expected);
    }
}
