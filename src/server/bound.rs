//! Sockets that listen: TCP, Unix, or opened by systemd.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Workers;
use super::settings::ListenAddress;

/// A socket that listens: one, with a descriptor for each of those who accept. Whoever is free takes the next connection,
/// and none is lost or waits in the queue of one who is not, as with sockets of their own at the same address.
pub struct Bound {
    sockets: Vec<Listening>,
    address: ListenAddress,
    local_addr: Option<SocketAddr>,
}

/// A socket that listens, with a runtime.
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The same without.
enum Opened {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A connection just accepted.
pub(super) enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

/// A connection on its way to another runtime.
pub(super) enum Detached {
    Tcp(std::net::TcpStream, IpAddr),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Takes it out of the runtime that accepted it.
    pub(super) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream, peer) => Ok(Detached::Tcp(stream.into_std()?, peer)),
            Self::Unix(stream) => stream.into_std().map(Detached::Unix),
        }
    }
}

impl Detached {
    /// Puts it into the runtime that this is called on.
    pub(super) fn attach(self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(stream, peer) => Ok(Accepted::Tcp(TcpStream::from_std(stream)?, peer)),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Accepted::Unix),
        }
    }
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// As it was configured.
    pub address: String,
    /// What the system said.
    pub source: io::Error,
}

impl Bound {
    /// Opens the socket, for all of these workers. A Unix socket that nobody listens on any more is replaced; its mode is
    /// 0600.
    ///
    /// # Errors
    ///
    /// The address is in use, not ours, or not allowed.
    pub fn open(address: &ListenAddress, workers: &Workers) -> Result<Self, BindError> {
        let opened = match address {
            ListenAddress::Tcp(address) => tcp(*address).map(Opened::Tcp),
            ListenAddress::Unix(path) => unix(path).map(Opened::Unix),
            ListenAddress::Systemd(name) => systemd(name),
        };
        let sockets = opened.and_then(|opened| {
            let sockets = workers.runtimes().map(|runtime| {
                // Whoever registers a socket must be on the runtime that is to look at it.
                let _on_it = runtime.enter();
                opened.listening()
            });
            Ok((sockets.collect::<io::Result<_>>()?, opened.local_addr()))
        });
        match sockets {
            Ok((sockets, local_addr)) => Ok(Self { sockets, address: address.clone(), local_addr }),
            Err(source) => Err(BindError { address: address.to_string(), source }),
        }
    }

    /// As it was configured.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Where it really listens: port 0 has become a port. `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// One for each worker. When all are dropped, and this is, it listens no more.
    pub(super) fn take_sockets(&mut self) -> Vec<Listening> {
        std::mem::take(&mut self.sockets)
    }
}

impl Opened {
    /// Another descriptor of it, for the runtime that this is called on.
    fn listening(&self) -> io::Result<Listening> {
        match self {
            Self::Tcp(listener) => TcpListener::from_std(listener.try_clone()?).map(Listening::Tcp),
            Self::Unix(listener) => UnixListener::from_std(listener.try_clone()?).map(Listening::Unix),
        }
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl Listening {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer.ip()))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let ListenAddress::Unix(path) = &self.address {
            // Ours: nobody can connect to it any more.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Connections that may wait to be accepted; the kernel cuts it down to its own limit.
const BACKLOG: i32 = 1024;

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart need not wait for connections of the past.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is accepted inherits both.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes the socket under another name, with its mode, and moves it into place: at no moment can anybody else connect,
/// or find none.
fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is there already, and no socket"));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it"));
        }
        Ok(_) | Err(_) => {}
    }
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = PathBuf::from(hidden);
    let _ = std::fs::remove_file(&hidden);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(&hidden)?)?;
    // Nobody can connect before it listens, whatever the umask.
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    std::fs::rename(&hidden, path)?;
    Ok(socket.into())
}

/// A socket from the service manager, by its `FileDescriptorName=`.
fn systemd(name: &str) -> io::Result<Opened> {
    let names = &PASSED.names;
    let index = names.split(':').position(|given| given == name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("no socket named {name} was passed (LISTEN_FDNAMES={names})"))
    })?;
    let mut sockets = PASSED.sockets.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        listener.set_nonblocking(true)?;
        return Ok(Opened::Tcp(listener));
    }
    match sockets.take_unix_listener(index)? {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Opened::Unix(listener))
        }
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the socket that was passed is closed by now: the service manager has to pass it again (restart)",
        )),
    }
}

/// Asks for the sockets that systemd passed. To be called before there are threads: their variables are taken out of the
/// environment, so that no child process takes them for its own.
pub fn take_passed_sockets() {
    LazyLock::force(&PASSED);
}

/// The sockets that systemd passed. Asked for once: listenfd forgets them when it has told of them, and a descriptor
/// that was taken and closed may be any other of ours by now.
static PASSED: LazyLock<Passed> = LazyLock::new(|| Passed {
    names: std::env::var("LISTEN_FDNAMES").unwrap_or_default(),
    sockets: Mutex::new(listenfd::ListenFd::from_env()),
});

struct Passed {
    names: String,
    sockets: Mutex<listenfd::ListenFd>,
}
