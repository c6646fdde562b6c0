//! `bearer-proxy demo`: four authorization servers, an API behind each, and the proxy in front, in one process.
//!
//! Shows what the proxy is for without an account anywhere: says what to type, and then tells, line by line, what the
//! authorization servers and the APIs see. How a proxy is started is handed in ([`run`]); this file knows its
//! configuration as text alone. A reader that goes away (`demo | head`) ends it quietly.

use std::error::Error;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::demo::Event;
use crate::demo::Systems;
use crate::demo::What;

/// The arguments of `bearer-proxy demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArguments {
    /// The proxy's port; 0: any free one. Without it 8080, or any free one if that is taken
    #[arg(long)]
    pub port: Option<u16>,
    /// The admin listener's port; 0: any free one. Without it 9090, or any free one if that is taken
    #[arg(long)]
    pub admin_port: Option<u16>,
    /// How many seconds an access token lives
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub lifetime: u64,
}

/// Runs the demo until Ctrl-C or SIGTERM, or until nobody reads standard output any more.
///
/// `start_proxy` gets the configuration file's text, and returns when the proxy listens: with what stops it again.
///
/// # Errors
///
/// A port that was asked for is taken, the proxy does not start, or standard output cannot be written.
pub async fn run<P, E>(
    arguments: &DemoArguments,
    start_proxy: impl AsyncFnOnce(String) -> Result<P, E>,
) -> Result<(), DemoError>
where
    P: AsyncFnOnce(),
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let stop = stop_asked().map_err(DemoError::Signals)?;
    perform(arguments, start_proxy, Screen { out, colour, began: Instant::now() }, stop).await
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A port that was asked for cannot be had.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another with --{option}, or leave it out")]
    Port {
        /// The port.
        port: u16,
        /// What chooses it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The authorization servers or APIs do not start.
    #[error("the demo's servers do not start: {0}")]
    Servers(#[source] io::Error),
    /// The proxy does not start.
    #[error("the proxy does not start: {0}")]
    Proxy(#[source] Box<dyn Error + Send + Sync>),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// What is to be seen cannot be written.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
}

async fn perform<P, E>(
    arguments: &DemoArguments,
    start_proxy: impl AsyncFnOnce(String) -> Result<P, E>,
    mut screen: Screen<impl Write>,
    stop: impl Future<Output = ()>,
) -> Result<(), DemoError>
where
    P: AsyncFnOnce(),
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let lifetime = Duration::from_secs(arguments.lifetime);
    let systems = Systems::start(lifetime).await.map_err(DemoError::Servers)?;
    let mut events = systems.events().subscribe();
    let proxy = Port::choose("port", arguments.port, 8080)?;
    let admin = Port::choose("admin-port", arguments.admin_port, 9090)?;
    let configuration = systems.configuration(proxy.address, admin.address);
    // Free until here, so that no two get the same; the proxy takes them at once.
    let (proxy, admin) = (proxy.release(), admin.release());
    let stop_proxy = start_proxy(configuration).await.map_err(|error| DemoError::Proxy(error.into()))?;

    let shown = match screen.introduce(&systems, &proxy, &admin, lifetime) {
        Ok(()) => screen.follow(&mut events, stop).await,
        Err(error) => Err(error),
    };
    stop_proxy().await;
    match shown {
        // Nobody reads any more: that is how a demo ends, too.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(DemoError::Output),
    }
}

/// A port of loopback, kept from others until the proxy takes it.
struct Port {
    address: SocketAddr,
    instead_of: Option<u16>,
    option: &'static str,
    listener: TcpListener,
}

impl Port {
    /// The one asked for; else `default`, or any free one if that is taken.
    fn choose(option: &'static str, asked: Option<u16>, default: u16) -> Result<Self, DemoError> {
        let port = asked.unwrap_or(default);
        let error = |source| DemoError::Port { port, option, source };
        let (listener, instead_of) = match (TcpListener::bind((Ipv4Addr::LOCALHOST, port)), asked) {
            (Ok(listener), _) => (listener, None),
            (Err(_taken), None) => (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(error)?, Some(port)),
            (Err(source), Some(_)) => return Err(error(source)),
        };
        Ok(Self { address: listener.local_addr().map_err(error)?, instead_of, option, listener })
    }

    fn release(self) -> Place {
        drop(self.listener);
        Place { address: self.address, instead_of: self.instead_of, option: self.option }
    }
}

/// Where the proxy, or its admin listener, is.
struct Place {
    address: SocketAddr,
    instead_of: Option<u16>,
    option: &'static str,
}

/// Where the demo shows itself. Written from the task that the process waits for, not from a worker: a slow terminal
/// holds up nobody's request.
struct Screen<W> {
    out: W,
    colour: bool,
    began: Instant,
}

impl<W: Write> Screen<W> {
    /// What there is, and what to type.
    fn introduce(&mut self, systems: &Systems, proxy: &Place, admin: &Place, lifetime: Duration) -> io::Result<()> {
        for place in [proxy, admin] {
            if let Some(port) = place.instead_of {
                let (address, option) = (place.address, place.option);
                writeln!(self.out, "Port {port} is taken; listening on {address} instead (--{option} chooses).\n")?;
            }
        }
        writeln!(self.out, "Four systems, and the proxy in front of them, all on this machine:\n")?;
        for (server, api) in systems.iter() {
            let (name, slug, upstream, token_url) =
                (server.dialect(), server.dialect().slug(), api.url(), server.token_url());
            writeln!(self.out, "  {name:<15}  http://{}/{slug}/  ->  {upstream}", proxy.address)?;
            writeln!(self.out, "  {:<15}  tokens from {token_url}", "")?;
        }
        let base = format!("http://{}", proxy.address);
        write!(
            self.out,
            "\nType in another terminal. There is no token in these lines; the proxy puts it on:\n\n\
             \x20 curl {base}/zpax/orders\n\
             \x20 curl {base}/apiax/rules\n\
             \x20 curl {base}/eagle/assets\n\
             \x20 curl {base}/applixure/devices\n\n\
             Void all tokens of z-Pax, and ask again: the API says 401, the proxy renews, curl sees 200:\n\n\
             \x20 curl -X POST {base}/zpax/revoke\n\
             \x20 curl -i {base}/zpax/orders\n\n\
             Send a body; watch a stream; look at the proxy itself:\n\n\
             \x20 curl -d 'hello' {base}/apiax/echo\n\
             \x20 curl -N {base}/eagle/stream\n\
             \x20 curl http://{}/metrics\n\n\
             Tokens live {} s, and are renewed before that while they are in use. Ctrl-C ends the demo.\n\
             What the authorization servers and the APIs see:\n\n",
            admin.address,
            lifetime.as_secs()
        )?;
        self.out.flush()
    }

    /// A line per event, until `stop`.
    async fn follow(&mut self, events: &mut Receiver<Event>, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mut stop = std::pin::pin!(stop);
        loop {
            // In this order, so that what has happened is shown before the end. Receiving may be given up and begun
            // again; `stop` is only ever borrowed.
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = &mut stop => return Ok(()),
            };
            match event {
                Ok(event) => self.show(&event)?,
                Err(RecvError::Lagged(missed)) => writeln!(self.out, "  ... {missed} more ...")?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    fn show(&mut self, event: &Event) -> io::Result<()> {
        let colour = match &event.what {
            // Every request is followed by its outcome: that is line enough.
            What::Asked => return Ok(()),
            What::Issued { .. } => GREEN,
            What::Refused { .. } | What::Failed { .. } | What::Revoked { .. } => YELLOW,
            What::Answered { status, .. } if status.is_success() => PLAIN,
            What::Answered { .. } => RED,
        };
        let (colour, plain) = if self.colour { (colour, PLAIN) } else { ("", "") };
        let seconds = self.began.elapsed().as_secs_f64();
        writeln!(self.out, "{seconds:>7.1} s  {:<15}  {colour}{}{plain}", event.system, event.what)?;
        self.out.flush()
    }
}

const PLAIN: &str = "\x1b[0m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";

/// Becomes ready when the process is asked to end.
fn stop_asked() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests;
