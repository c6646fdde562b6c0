//! `bearer-proxy status`: of every credential whether it has a token, until when, what failed last, and who has to log
//! in. Asks the proxy that runs by its admin listener; where none answers, the token store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Common, FAILURE, Output, SUCCESS, WRONG, admin, output, small_runtime};
use crate::config::Config;
use crate::oauth::{Holding, OAuthClient};
use crate::token::store::{self, TokenStore};

/// The arguments of `bearer-proxy status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArguments {
    /// The admin listener, when it is not the one of the file
    #[arg(long, value_name = "IP:PORT", env = "BEARER_PROXY_ADMIN")]
    address: Option<SocketAddr>,
}

/// What is told of a credential.
struct Line {
    name: String,
    state: String,
    expires_in: Option<u64>,
    last_error: Option<String>,
    /// Of a login: what was kept beside the token.
    values: Vec<String>,
}

/// Tells. The exit code: 0 if every credential has a token or can get one, 1 if one of them cannot, 2 if the file is
/// wrong.
pub(super) fn status(common: &Common, arguments: &StatusArguments, out: &mut Output) -> u8 {
    let Some(config) = common.load() else { return WRONG };
    let address = arguments.address.or(config.admin.as_ref().map(|admin| admin.address));
    let answered = address.map(|address| (address, running(address)));
    // The store may be away, or be another user's: a proxy that runs tells all but what was kept beside a token.
    let (holdings, mut lines) = match (answered, holdings(&config)) {
        (Some((address, Ok(lines))), holdings) => {
            out.line(format_args!("as the proxy at {address} says:"));
            (holdings.unwrap_or_else(|trouble| unseen(&trouble)), lines)
        }
        (_, Err(trouble)) => {
            output::complain(&trouble);
            return FAILURE;
        }
        (Some((address, Err(why))), Ok(holdings)) => {
            out.line(format_args!("no proxy answers at {address} ({why}); as the token store says:"));
            let lines = kept(&holdings);
            (holdings, lines)
        }
        (None, Ok(holdings)) => {
            out.line("there is no admin.address to ask; as the token store says:");
            let lines = kept(&holdings);
            (holdings, lines)
        }
    };
    for line in &mut lines {
        if let Some((_, _, holding)) =
            holdings.iter().find(|(name, needs_person, _)| *needs_person && *name == line.name)
        {
            line.values = holding.values.iter().map(|(name, value)| format!("{name} = {}", value.expose())).collect();
        }
    }
    print(&lines, out);
    let cannot = |line: &Line| !matches!(line.state.as_str(), "live" | "idle");
    if lines.iter().any(cannot) { FAILURE } else { SUCCESS }
}

/// Of each credential: its name, whether it needs a person, what the store has of it.
type Holdings = Vec<(String, bool, Holding)>;

fn unseen(trouble: &str) -> Holdings {
    output::complain(&format!("what is kept beside the tokens of logins is not shown: {trouble}"));
    Holdings::new()
}

fn holdings(config: &Config) -> Result<Holdings, String> {
    let store: Arc<dyn TokenStore> = store::open(&config.token_store.settings).map_err(|error| error.to_string())?;
    let runtime = small_runtime().ok_or("there is no runtime")?;
    let mut holdings = Vec::new();
    for credential in &config.credentials {
        let name = credential.settings.name.clone();
        let client = OAuthClient::new(credential.settings.clone(), Arc::clone(&store))
            .map_err(|error| format!("credentials.{name}.request.tls: {error}"))?;
        let holding = runtime.block_on(client.holding());
        let holding = holding.map_err(|error| format!("credentials.{name}: {error}"))?;
        holdings.push((name, client.needs_person(), holding));
    }
    Ok(holdings)
}

fn kept(holdings: &Holdings) -> Vec<Line> {
    let line = |(name, needs_person, holding): &(String, bool, Holding)| Line {
        name: name.clone(),
        state: match (holding.expires_in, needs_person) {
            (Some(_), _) => "live".to_owned(),
            (None, true) if !holding.lasts => "needs_login".to_owned(),
            (None, _) => "idle".to_owned(),
        },
        expires_in: holding.expires_in.as_ref().map(Duration::as_secs),
        last_error: None,
        values: Vec::new(),
    };
    holdings.iter().map(line).collect()
}

fn running(address: SocketAddr) -> Result<Vec<Line>, String> {
    let (status, body) = admin::get(address, "/status").map_err(|error| error.to_string())?;
    let page: Option<Value> = serde_json::from_slice(&body).ok().filter(|_| status == 200);
    let credentials = page.as_ref().and_then(|page| page.get("credentials")).and_then(Value::as_array);
    let credentials = credentials.ok_or_else(|| format!("/status answers {status}"))?;
    let line = |credential: &Value| {
        let text = |name| credential.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Line {
            name: text("name")?,
            state: text("state")?,
            expires_in: credential.get("expires_in").and_then(Value::as_u64),
            last_error: text("last_error"),
            values: Vec::new(),
        })
    };
    credentials.iter().map(line).collect::<Option<_>>().ok_or_else(|| "/status is of another version".to_owned())
}

fn print(lines: &[Line], out: &mut Output) {
    let width = |texts: &dyn Fn(&Line) -> usize, least: usize| lines.iter().map(texts).max().unwrap_or(0).max(least);
    let (names, states) = (width(&|line| line.name.len(), 10), width(&|line| line.state.len(), 5));
    out.line(format_args!("{:names$}  {:states$}  {:>10}  last error", "credential", "state", "expires in"));
    for Line { name, state, expires_in, last_error, values } in lines {
        let expires = expires_in.map_or("-".to_owned(), |left| format!("{left} s"));
        let row = format!("{name:names$}  {state:states$}  {expires:>10}  {}", last_error.as_deref().unwrap_or("-"));
        out.line(row.trim_end());
        if state == "needs_login" {
            out.line(format_args!("  a person has to log in: bearer-proxy login {name}"));
        }
        for value in values {
            out.line(format_args!("  {}", value.replace(char::is_control, " ")));
        }
    }
}
