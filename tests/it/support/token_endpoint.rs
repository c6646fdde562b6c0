//! A token endpoint that hands out `T1`, `T2`, … and otherwise does what a test tells it, byte for byte.
//!
//! For what the strict servers of [`bearer_proxy::demo`] would never do: answer nonsense, or wait for an event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::upstream::Upstream;
use super::wire::Message;
use super::{answer, json_answer};

/// A token endpoint; it ends when this is dropped.
pub struct TokenEndpoint {
    upstream: Upstream,
    desk: Arc<Desk>,
}

struct Desk {
    state: Mutex<State>,
    /// Whether it is answering.
    open: watch::Sender<bool>,
}

struct State {
    issued: usize,
    more: String,
    next: VecDeque<Vec<u8>>,
    always: Option<Vec<u8>>,
}

impl TokenEndpoint {
    /// Starts one whose tokens live for an hour.
    pub async fn start() -> Self {
        let state = State { issued: 0, more: ",\"expires_in\":3600".to_owned(), next: VecDeque::new(), always: None };
        let desk = Arc::new(Desk { state: Mutex::new(state), open: watch::Sender::new(true) });
        let clerk = Arc::clone(&desk);
        let upstream = Upstream::start(move |mut connection| {
            let desk = Arc::clone(&clerk);
            async move {
                while connection.request().await.is_some() {
                    let mut open = desk.open.subscribe();
                    let _ = open.wait_for(|open| *open).await;
                    let scripted = desk.scripted();
                    let ends = scripted.is_some();
                    connection.send(scripted.unwrap_or_else(|| desk.token())).await;
                    if ends {
                        return;
                    }
                }
            }
        })
        .await;
        Self { upstream, desk }
    }

    pub fn url(&self) -> String {
        format!("{}token", self.upstream.url())
    }

    /// A credential of grant `client_credentials` that asks here.
    pub fn credential(&self, name: &str) -> String {
        self.credential_with(name, "")
    }

    /// The same with further keys, or others in place of these: lines of YAML at four spaces.
    pub fn credential_with(&self, name: &str, more: &str) -> String {
        let url = self.url();
        let has = |key: &str| more.lines().any(|line| line.starts_with(&format!("    {key}:")));
        let defaults = [("grant", "client_credentials"), ("client_id", "me"), ("client_secret", "s3cret")];
        let lines = defaults.iter().filter(|(key, _)| !has(key)).map(|(key, value)| format!("    {key}: {value}\n"));
        format!("  {name}:\n    token_url: {url}\n{}{more}", lines.collect::<String>())
    }

    /// The token requests that have come so far.
    pub fn requests(&self) -> Vec<Message> {
        self.upstream.requests()
    }

    /// How many those are.
    pub fn asked(&self) -> usize {
        self.requests().len()
    }

    /// Waits until so many have come; they need not have been answered.
    pub async fn wait_for(&self, count: usize) -> Vec<Message> {
        self.upstream.seen().wait_for(count).await
    }

    /// Answers nobody from now on.
    pub fn hold(&self) {
        self.desk.open.send_replace(false);
    }

    /// Answers again, those who wait included.
    pub fn release(&self) {
        self.desk.open.send_replace(true);
    }

    /// Members of the answers besides `access_token` and `token_type`, as JSON with a comma before each.
    pub fn say_more(&self, more: &str) {
        more.clone_into(&mut self.desk.state().more);
    }

    /// Answers the next request with these bytes and closes; several wait in line.
    pub fn answer_next(&self, bytes: impl Into<Vec<u8>>) {
        self.desk.state().next.push_back(bytes.into());
    }

    /// Answers every request with these bytes, until told to hand out tokens again.
    pub fn answer_always(&self, bytes: impl Into<Vec<u8>>) {
        self.desk.state().always = Some(bytes.into());
    }

    /// Hands out tokens again.
    pub fn recover(&self) {
        let mut state = self.desk.state();
        state.always = None;
        state.next.clear();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn scripted(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        state.next.pop_front().or_else(|| state.always.clone())
    }

    fn token(&self) -> Vec<u8> {
        let mut state = self.state();
        state.issued += 1;
        json_answer(&format!("{{\"access_token\":\"T{}\",\"token_type\":\"Bearer\"{}}}", state.issued, state.more))
    }
}

/// A refusal as in RFC 6749 §5.2.
pub fn oauth_error(status: &str, code: &str) -> Vec<u8> {
    let body = format!("{{\"error\":\"{code}\",\"error_description\":\"for your eyes only\"}}");
    answer(status, &["content-type: application/json"], &body)
}
