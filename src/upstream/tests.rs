//! A whole upstream over pipes that hold little, where sockets of the kernel would hold too much to be told apart.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::tls::TlsSettings;

fn upstream() -> Upstream<Full<Bytes>> {
    let settings = UpstreamSettings {
        scheme: Scheme::Http,
        host: "localhost".to_owned(),
        port: 80,
        path: "/".to_owned(),
        tls: TlsSettings::default(),
        connections: ConnectionSettings::default(),
        timeouts: Timeouts::default(),
    };
    Upstream::new(&settings, &Environment::new(), Arc::new(|| Box::new(()))).unwrap()
}

/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

const SENT: usize = 100 * 1024;
const ANSWERED: usize = 300 * 1024;

/// Reads on until the request's head has come, and so many bytes of its body.
async fn read_request(stream: &mut DuplexStream, seen: &mut Vec<u8>, wanted: usize) {
    let mut chunk = [0; 4096];
    let has_come = |seen: &[u8]| {
        seen.windows(4).position(|window| window == b"\r\n\r\n").is_some_and(|at| seen.len() - at - 4 >= wanted)
    };
    while !has_come(seen) {
        let length = stream.read(&mut chunk).await.unwrap();
        assert!(length > 0, "it was cut off after {} bytes", seen.len());
        seen.extend_from_slice(&chunk[..length]);
    }
}

// R23: hyper has all of the request, the pipe has little of it, and the answer is there already.
#[tokio::test]
async fn a_long_answer_does_not_take_its_connection_from_a_request_that_is_still_being_written() {
    let upstream = upstream();
    let (near, mut far) = duplex(1024);
    upstream.adopt(near).await.unwrap();
    let served = tokio::spawn(async move {
        for _ in 0..2 {
            let mut seen = Vec::new();
            read_request(&mut far, &mut seen, 0).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWERED}\r\n\r\n");
            far.write_all(head.as_bytes()).await.unwrap();
            far.write_all(&[b'a'; ANSWERED / 2]).await.unwrap();
            read_request(&mut far, &mut seen, SENT).await;
            far.write_all(&[b'b'; ANSWERED / 2]).await.unwrap();
        }
    });

    for _ in 0..2 {
        let request = Request::post("/").header("host", "localhost").body(Upload::new(Full::from(vec![b'x'; SENT])));
        let mut request = Some(request.unwrap());
        let mut trip = RoundTrip::of(&mut request);
        let reused = upstream.send(&mut trip, Reuse::Allowed, || true, None::<&fn(StatusCode, HeaderMap)>).await;
        assert!(reused.unwrap());
        let body = trip.response.unwrap().into_body().collect();
        let body =
            tokio::time::timeout(PATIENCE, body).await.expect("neither side waits for the other").unwrap().to_bytes();
        assert_eq!(body.len(), ANSWERED);
        assert!(body[..ANSWERED / 2].iter().all(|byte| *byte == b'a'));
        assert!(body[ANSWERED / 2..].iter().all(|byte| *byte == b'b'));
    }
    served.await.unwrap();
    assert_eq!(upstream.connections(), 1);
}
