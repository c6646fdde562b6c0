//! The proxy under test, started through the library from a file's text.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bearer_proxy::app;
use bearer_proxy::config;
use bearer_proxy::config::Config;
use bearer_proxy::demo::AuthorizationServer;
use bearer_proxy::telemetry::settings::LogFormat;
use bearer_proxy::telemetry::{AccessLog, Metrics};

use super::eventually;

/// A proxy that runs until dropped or stopped.
pub struct Proxy {
    running: app::Proxy,
    log: Written,
    access: AccessLog,
}

/// What the access log has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Puts a file together: one listener on a free port, credentials, routes.
#[derive(Default)]
pub struct ProxyBuilder {
    listener: String,
    credentials: String,
    routes: String,
    top: String,
}

impl ProxyBuilder {
    /// Further keys of the listener, as YAML at its indentation (four spaces).
    pub fn listener(mut self, yaml: &str) -> Self {
        self.listener.push_str(yaml);
        self
    }

    /// A credential of grant `static` with this token.
    pub fn static_token(self, name: &str, token: &str) -> Self {
        self.credential(&format!("  {name}: {{grant: static, token: {token}}}\n"))
    }

    /// A credential of grant `client_credentials` against one of the demo's servers.
    pub fn client_credentials(self, name: &str, server: &AuthorizationServer, more: &str) -> Self {
        let settings = server.settings();
        self.credential(&format!(
            "  {name}:\n    grant: client_credentials\n    token_url: {}\n    client_id: {}\n    client_secret: {:?}\n{more}",
            server.token_url(),
            settings.client_id,
            settings.client_secret.as_deref().unwrap_or_default(),
        ))
    }

    /// A credential as YAML, its name at two spaces.
    pub fn credential(mut self, yaml: &str) -> Self {
        self.credentials.push_str(yaml);
        self
    }

    /// A route for this path; `more`: further keys as YAML at four spaces.
    pub fn route(mut self, path: &str, upstream: &str, credential: &str, more: &str) -> Self {
        self.routes
            .push_str(&format!("  - path: {path}\n    upstream: {upstream}\n    credential: {credential}\n{more}"));
        self
    }

    /// A route as YAML, `  - …`.
    pub fn raw_route(mut self, yaml: &str) -> Self {
        self.routes.push_str(yaml);
        self
    }

    /// Further keys of the top level, as YAML.
    pub fn top(mut self, yaml: &str) -> Self {
        self.top.push_str(yaml);
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let credentials = match self.credentials.is_empty() {
            true => String::new(),
            false => format!("credentials:\n{}", self.credentials),
        };
        format!(
            "listeners:\n  - address: 127.0.0.1:0\n{}{credentials}routes:\n{}{}",
            self.listener, self.routes, self.top
        )
    }

    /// Its configuration.
    pub fn config(&self) -> Config {
        parse(&self.text())
    }

    pub async fn start(self) -> Proxy {
        Proxy::from(&self.config()).await
    }
}

/// A file's configuration; a wrong one fails the test.
pub fn parse(text: &str) -> Config {
    config::parse(text, Path::new("proxy.yaml"), &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is wrong with a file; a right one fails the test.
pub fn proxy_yaml_error(text: &str) -> config::ConfigError {
    match config::parse(text, Path::new("proxy.yaml"), &|_| None) {
        Ok(_) => panic!("nothing is wrong with\n{text}"),
        Err(error) => error,
    }
}

impl Proxy {
    #[allow(clippy::new_ret_no_self, reason = "it reads as what it is: a new proxy, with …")]
    pub fn new() -> ProxyBuilder {
        ProxyBuilder::default()
    }

    /// One route for everything, with a static token `T0KEN`.
    pub async fn to(upstream: &super::Upstream) -> Self {
        Self::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", "").start().await
    }

    pub async fn from(config: &Config) -> Self {
        let metrics = Arc::new(Metrics::default());
        let log = Written::default();
        let access = AccessLog::to(log.clone(), LogFormat::Json, &metrics).unwrap();
        let running = app::Proxy::start_with(config, metrics, access.clone()).await.unwrap();
        Self { running, log, access }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    pub fn running(&self) -> &app::Proxy {
        &self.running
    }

    /// The access log's lines so far.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        self.access.flush();
        let bytes = self.log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The access log's lines, once there are so many.
    pub async fn log_lines_when(&self, count: usize) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        eventually(&format!("{count} lines of the access log"), || {
            lines = self.log_lines();
            lines.len() >= count
        })
        .await;
        lines
    }

    /// A figure by the beginning of its line, as `requests_total{route="a",class="2xx"}`; 0 when it is not there.
    pub fn figure(&self, name: &str) -> u64 {
        let start = format!("bearer_proxy_{name} ");
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        value.map_or(0, |value| value.parse().unwrap_or_else(|_| panic!("{name} is {value}")))
    }

    /// The figures as text.
    pub fn metrics(&self) -> String {
        self.running.metrics().exposition(Vec::new())
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }
}
