//! What moves the bytes of a connection: hyper's client, or, while a long body comes, whoever reads that.
//!
//! Of a long body only its length is left to know, and its bytes are read with less: hyper is let go once it has read the
//! head of such an answer, and made anew when the body has come. In between a connection holds no buffer. hyper's would stay
//! with it for as long as it is open, and have left the processor's cache whenever it is its turn again.

use std::error::Error as StdError;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::Body;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::body::Upload;
use super::clock;
use super::connection::Connection as Pooled;
use super::connector::describe;
use super::haste::Haste;
use super::interim::Reader;
use super::watch::Watch;

/// What moves the bytes.
pub(super) trait Driver: Send {
    /// Does what there is to do; ready when nothing will ever be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The next request asks for another protocol.
    fn expects_upgrade(&mut self);

    /// Lets hyper go, in the middle of an answer's body; what it has read of that, and of nothing else. `None`: it has to
    /// stay.
    fn part(&mut self) -> Option<Bytes>;

    /// Reads on after that.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Has hyper again, for another request; its sender is where [`Senders`] has it.
    fn rejoin(&mut self);
}

/// Where a driver leaves what requests are given to.
pub(super) type Senders<B> = Arc<Mutex<Option<SendRequest<Upload<B>>>>>;

/// hyper's client over one stream.
pub(super) struct Client<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin + 'static,
{
    state: State<S, B>,
    builder: Builder,
    senders: Senders<B>,
}

/// Who has the stream.
#[expect(clippy::large_enum_variant, reason = "it is nearly always the large one, in a box already")]
enum State<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin + 'static,
{
    /// hyper.
    Joined(Connection<TokioIo<Reader<S>>, Upload<B>>),
    /// hyper, which may be asked for it; it then has it for good.
    Upgradeable(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>),
    /// Whoever reads the body.
    Parted(TokioIo<Reader<S>>),
    /// Nobody.
    Gone,
}

impl<S, B> Client<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn new(builder: &Builder, io: Reader<S>) -> hyper::Result<Self> {
        let mut client = Self { state: State::Gone, builder: builder.clone(), senders: Senders::default() };
        client.join(TokioIo::new(io))?;
        Ok(client)
    }

    /// Where its senders are left.
    pub(super) fn senders(&self) -> Senders<B> {
        Arc::clone(&self.senders)
    }

    fn join(&mut self, io: TokioIo<Reader<S>>) -> hyper::Result<()> {
        // A handshake of HTTP/1.1 waits for nothing.
        let handshake = pin!(self.builder.handshake(io));
        if let Poll::Ready(joined) = handshake.poll(&mut Context::from_waker(Waker::noop())) {
            let (sender, connection) = joined?;
            *self.senders.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
            self.state = State::Joined(connection);
        }
        Ok(())
    }
}

impl<S, B> Driver for Client<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &mut self.state {
            State::Joined(connection) => Pin::new(connection).poll(cx),
            State::Upgradeable(connection) => connection.as_mut().poll(cx),
            State::Parted(_) => Poll::Pending,
            State::Gone => Poll::Ready(Ok(())),
        };
        polled.map(|ended| {
            self.state = State::Gone;
            if let Err(error) = ended {
                tracing::debug!(error = %describe(&error), "an upstream connection ended");
            }
        })
    }

    fn expects_upgrade(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Gone) {
            State::Joined(connection) => State::Upgradeable(Box::pin(connection.with_upgrades())),
            other => other,
        };
    }

    fn part(&mut self) -> Option<Bytes> {
        match mem::replace(&mut self.state, State::Gone) {
            State::Joined(connection) => {
                let mut parts = connection.into_parts();
                parts.io.inner_mut().part();
                self.state = State::Parted(parts.io);
                Some(parts.read_buf)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Parted(io) => Pin::new(io.inner_mut()).poll_read(cx, buf),
            State::Joined(_) | State::Upgradeable(_) | State::Gone => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }

    fn rejoin(&mut self) {
        let State::Parted(mut io) = mem::replace(&mut self.state, State::Gone) else { return };
        io.inner_mut().rejoin();
        if let Err(error) = self.join(io) {
            tracing::debug!(error = %describe(&error), "an upstream connection ended");
        }
    }
}

/// What a handshake yields: where requests are given to, and what moves the bytes.
pub(super) struct Halves<B> {
    senders: Senders<B>,
    driver: Box<dyn Driver>,
    watch: Arc<Watch>,
}

pub(super) fn handshake<S, B>(builder: &Builder, io: S) -> hyper::Result<Halves<B>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let watch = Arc::new(Watch::new());
    let client = Client::new(builder, Reader::new(io, Arc::clone(&watch)))?;
    Ok(Halves { senders: client.senders(), driver: Box::new(client), watch })
}

impl<B> Halves<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Starts to drive. The permit is given back, and `open` dropped, when the connection ends; `haste` is told if the
    /// upstream closes it while it is idle.
    pub(super) fn spawn(self, permit: OwnedSemaphorePermit, open: Box<dyn Send>, haste: Arc<Haste>) -> Pooled<B> {
        let watch = self.watch;
        let kept = watch.drive().keep(self.driver);
        let driven = Arc::clone(&watch);
        tokio::spawn(async move {
            kept.await;
            let now = clock::now();
            if driven.is_idle() {
                haste.closed(driven.idle_for(now), now);
            }
            drop((permit, open));
        });
        Pooled::new(self.senders, watch)
    }
}

/// Tests have what they like polled.
#[cfg(test)]
impl<F: FnMut(&mut Context<'_>) -> Poll<()> + Send> Driver for F {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self(cx)
    }

    fn expects_upgrade(&mut self) {}

    fn part(&mut self) -> Option<Bytes> {
        None
    }

    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn rejoin(&mut self) {}
}
