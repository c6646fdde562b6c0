//! All four systems at once, and the file that puts the proxy in front of them.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Api, AuthorizationServer, Dialect, Events};

/// Four authorization servers, each with an API. They end when this is dropped.
pub struct Systems {
    pairs: Vec<(AuthorizationServer, Api)>,
    events: Events,
}

impl Systems {
    /// Starts them on free ports of loopback, with access tokens that live for `lifetime`.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn start(lifetime: Duration) -> io::Result<Self> {
        let events = Events::new();
        let mut pairs = Vec::with_capacity(Dialect::ALL.len());
        for dialect in Dialect::ALL {
            let mut settings = dialect.settings();
            settings.lifetime = lifetime;
            settings.events = events.clone();
            let server = AuthorizationServer::start(settings).await?;
            let api = Api::start(&server).await?;
            pairs.push((server, api));
        }
        Ok(Self { pairs, events })
    }

    /// Each authorization server with its API, in the order of [`Dialect::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&AuthorizationServer, &Api)> {
        self.pairs.iter().map(|(server, api)| (server, api))
    }

    /// Where the events of all of them go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A configuration file with a credential and a route for each: `/zpax/`, `/apiax/`, `/eagle/`, `/applixure/`.
    #[must_use]
    pub fn configuration(&self, listener: SocketAddr, admin: SocketAddr) -> String {
        let mut credentials = String::new();
        let mut routes = String::new();
        for (server, api) in self.iter() {
            let slug = server.dialect().slug();
            // Writing to a String cannot fail.
            let _ = writeln!(credentials, "  {slug}:\n    token_url: {}", server.token_url());
            for key in server.dialect().credential(server.settings()) {
                let _ = writeln!(credentials, "    {key}");
            }
            let _ = writeln!(routes, "  - path: /{slug}/\n    upstream: {}\n    credential: {slug}", api.url());
        }
        // The demo's own lines show every request as the API sees it, so the proxy need not;
        // and Ctrl-C must not wait for somebody's stream.
        format!(
            "listeners:\n  - address: {listener}\nadmin:\n  address: {admin}\n\
             shutdown:\n  drain: 1s\nlog:\n  level: warn\n  access: off\n\
             credentials:\n{credentials}routes:\n{routes}"
        )
    }
}
