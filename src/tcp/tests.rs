use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

/// Two ends of a connection.
async fn pair() -> (Tcp, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    peer.set_nodelay(true).unwrap();
    (listener.accept().await.unwrap().0.into(), peer)
}

/// What a long body might be: no piece of it is like another.
fn bytes(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

/// Does it in a task of its own, which nothing but what it waits for wakes.
async fn in_time<T: Send + 'static>(act: impl Future<Output = T> + Send + 'static) -> T {
    timeout(Duration::from_secs(10), tokio::spawn(act)).await.expect("nobody was woken").unwrap()
}

fn poll_into(connection: &mut Tcp, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
    let mut storage = vec![MaybeUninit::uninit(); room];
    let mut buf = ReadBuf::uninit(&mut storage);
    let polled = Pin::new(connection).poll_read(cx, &mut buf);
    polled.map_ok(|()| buf.filled().len())
}

/// Messages are read one by one, each after it was waited for; `ways`: with how much room, and whether the reader looks
/// once more afterwards, in vain, as hyper does.
async fn read_messages(mut connection: Tcp, mut peer: TcpStream, ways: Vec<(usize, bool)>) {
    let (count, (tell, mut told)) = (ways.len(), tokio::sync::mpsc::unbounded_channel());
    let reading = tokio::spawn(async move {
        for (room, looks_again) in ways {
            assert_eq!(poll_fn(|cx| poll_into(&mut connection, cx, room)).await.unwrap(), 1);
            if looks_again {
                assert!(poll_fn(|cx| Poll::Ready(poll_into(&mut connection, cx, room))).await.is_pending());
            }
            tell.send(()).unwrap();
        }
    });
    for message in 0..count {
        // Until the reader waits.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        peer.write_all(b"x").await.unwrap();
        let read = timeout(Duration::from_secs(10), told.recv()).await;
        read.unwrap_or_else(|_| panic!("nobody was woken by message {message}")).unwrap();
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn whoever_reads_is_woken_however_he_read_before_and_however_often_he_looked_in_vain() {
    let ways = [(LITTLE_READ, false), (LITTLE_READ, true), (LITTLE_READ + 1, false), (LITTLE_READ + 1, true)];
    // Each after each, and after each other two.
    let pairs = ways.into_iter().flat_map(|first| ways.into_iter().flat_map(move |second| [first, first, second]));
    let (connection, peer) = pair().await;
    read_messages(connection, peer, pairs.collect()).await;
}

#[tokio::test]
async fn whoever_has_used_up_his_share_is_woken_when_something_comes() {
    let (mut connection, mut peer) = pair().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        while has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        // He is told "not yet" for that alone.
        assert!(poll_fn(|cx| Poll::Ready(poll_into(&mut connection, cx, 64))).await.is_pending());
        tell.send(()).unwrap();
        poll_fn(|cx| poll_into(&mut connection, cx, 64)).await.unwrap()
    });
    told.recv().await.unwrap();
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    peer.write_all(b"x").await.unwrap();
    assert_eq!(in_time(reading).await.unwrap(), 1);
}

#[tokio::test]
async fn another_task_that_takes_over_is_the_one_that_is_woken() {
    let (mut connection, mut peer) = pair().await;
    let mut somebody_else = Context::from_waker(Waker::noop());
    assert!(poll_into(&mut connection, &mut somebody_else, 8).is_pending());
    let reading = tokio::spawn(async move { poll_fn(|cx| poll_into(&mut connection, cx, 8)).await.unwrap() });
    tokio::task::yield_now().await;
    peer.write_all(b"x").await.unwrap();
    assert_eq!(in_time(reading).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_two_threads() {
    let (mut connection, mut peer) = pair().await;
    let sent = bytes(1 << 20);
    let to_send = sent.clone();
    let sending = tokio::spawn(async move {
        for piece in to_send.chunks(311) {
            peer.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut received = Vec::new();
    let received = in_time(async move {
        for room in [7, LITTLE_READ, LITTLE_READ + 1, 300, 64 * 1024].into_iter().cycle() {
            let before = received.len();
            received.resize(before + room, 0);
            let length = connection.read(&mut received[before..]).await.unwrap();
            received.truncate(before + length);
            if length == 0 {
                break;
            }
        }
        received
    });
    assert!(received.await == sent);
    sending.await.unwrap();
}

#[tokio::test]
async fn what_lies_in_several_places_arrives_in_order_be_it_little_or_much() {
    let (mut connection, mut peer) = pair().await;
    for length in [0, 1, LITTLE_WRITE / 2, LITTLE_WRITE, LITTLE_WRITE + 1, 4 << 20] {
        let sent = bytes(length);
        let (head, body) = sent.split_at(length / 3);
        let sending = async {
            let mut written = 0;
            while written < length {
                let pieces = match head.get(written..) {
                    Some(rest) => vec![IoSlice::new(rest), IoSlice::new(body)],
                    None => vec![IoSlice::new(&sent[written..])],
                };
                written += connection.write_vectored(&pieces).await.unwrap();
            }
        };
        let mut received = vec![0; length];
        tokio::join!(sending, peer.read_exact(&mut received)).1.unwrap();
        assert!(received == sent, "{length}");
    }
}

#[tokio::test]
async fn the_end_is_seen_behind_the_last_bytes() {
    let (mut connection, mut peer) = pair().await;
    peer.write_all(b"last").await.unwrap();
    peer.shutdown().await.unwrap();
    let received = in_time(async move {
        let mut received = Vec::new();
        connection.read_to_end(&mut received).await.map(|_| received).unwrap()
    });
    assert_eq!(received.await, b"last");
    drop(peer);
}

#[tokio::test]
async fn a_peer_that_has_gone_is_an_error_and_no_signal() {
    let (mut connection, peer) = pair().await;
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let error = loop {
        if let Err(error) = connection.write(b"x").await {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}
