//! `bearer-proxy login NAME`: a person logs in, in a browser here or on any other device.
//!
//! What the login brings goes into the token store, where a proxy that runs finds it. Nothing of it is printed.

use std::io::{self, BufRead};
use std::thread;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use tokio::sync::mpsc;

use super::{Common, FAILURE, Output, SUCCESS, WRONG, credential, output, small_runtime};
use crate::oauth::settings::{GrantSettings, LoginWay};
use crate::oauth::{Authorization, DeviceLogin, LoggedIn, LoginError, OAuthClient, Step};

/// The arguments of `bearer-proxy login`.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArguments {
    /// Which credential of the file
    name: String,
    /// Confirm on another device: prints a code to type there
    #[arg(long)]
    device: bool,
    /// Open no browser; what it was sent to may be pasted here
    #[arg(long)]
    no_browser: bool,
    /// Tell on standard error what was sent and what came back, even if all went well
    #[arg(short, long)]
    verbose: bool,
}

/// Logs in.
pub(super) fn login(common: &Common, arguments: &LoginArguments, out: &mut Output) -> u8 {
    let Some(config) = common.load() else { return WRONG };
    let Some(credential) = credential::find(common, &config, &arguments.name) else { return WRONG };
    let GrantSettings::Login(settings) = &credential.settings.grant else {
        let name = &arguments.name;
        output::complain(&format!("credentials.{name}: its grant needs no person: there is nothing to log in to"));
        return WRONG;
    };
    let client = match credential::lasting_client(common, &config, credential) {
        Ok(client) => client,
        Err(code) => return code,
    };
    let Some(runtime) = small_runtime() else { return FAILURE };
    let mut steps = Vec::new();
    let result = runtime.block_on(async {
        match settings.way {
            LoginWay::AuthorizationCode if !arguments.device => by_browser(&client, arguments, out, &mut steps).await,
            LoginWay::AuthorizationCode | LoginWay::DeviceCode => by_device(&client, out, &mut steps).await,
        }
    });
    if arguments.verbose || result.is_err() {
        tell(&steps);
    }
    match result {
        Ok(logged_in) => {
            congratulate(&arguments.name, &logged_in, out);
            SUCCESS
        }
        Err(error) => {
            output::complain(&format!("credentials.{}: {error}", arguments.name));
            FAILURE
        }
    }
}

async fn by_browser(
    client: &OAuthClient,
    arguments: &LoginArguments,
    out: &mut Output,
    steps: &mut Vec<Step>,
) -> Result<LoggedIn, LoginError> {
    let login = client.authorization(steps).await?;
    let pastes = arguments.no_browser || !login.comes_back();
    out.line("Log in here:");
    out.line("");
    out.line(format_args!("  {}", login.url()));
    out.line("");
    if !arguments.no_browser {
        browse(&login);
    }
    if pastes {
        out.line(
            "If the browser does not come back to this machine, paste the address that it was sent to, or the code:",
        );
    }
    client.log_in(login, pasted(pastes), steps).await
}

async fn by_device(client: &OAuthClient, out: &mut Output, steps: &mut Vec<Step>) -> Result<LoggedIn, LoginError> {
    let login = client.device_login(steps).await?;
    show(&login, out);
    client.log_in_by_device(login, tokio::time::sleep, steps).await
}

fn browse(login: &Authorization) {
    if open::that_detached(login.url().as_str()).is_err() {
        output::complain(&"no browser could be opened: open this address in one yourself");
    }
}

/// The next line of standard input. A thread of its own reads it: nothing else could be left alone when the browser
/// is faster.
fn pasted(wanted: bool) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    if wanted {
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}

fn show(login: &DeviceLogin, out: &mut Output) {
    let address = login.verification_uri_complete().unwrap_or(login.verification_uri());
    // For a terminal that is dark: light is what is printed. One too long for a code is typed.
    if let Ok(code) = QrCode::new(address) {
        let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        out.line(image);
    }
    out.line(format_args!("On any device, open  {}", login.verification_uri()));
    out.line(format_args!("and type the code    {}", login.user_code()));
    out.line(format_args!("within               {} minutes", login.lifetime().as_secs().div_ceil(60)));
}

fn congratulate(name: &str, logged_in: &LoggedIn, out: &mut Output) {
    out.line(format_args!("{name}: logged in; a proxy that runs takes it up by itself"));
    if !logged_in.values.is_empty() {
        out.line(format_args!("kept beside the token: {} (`bearer-proxy status`)", logged_in.values.join(", ")));
    }
    if !logged_in.lasts {
        let ends = logged_in.lifetime.map(|left| format!(" in {} minutes", left.as_secs().div_ceil(60)));
        output::complain(&format!(
            "{name}: the server gave no refresh token: this login ends with its access token{}. Many servers give one for \
             the scope `offline_access`, Google for `authorization: {{params: {{access_type: offline, prompt: consent}}}}`",
            ends.unwrap_or_default()
        ));
    }
}

/// What was sent and what came back, step by step.
pub(super) fn tell(steps: &[Step]) {
    for (number, step) in (1..).zip(steps) {
        output::complain(&format!("{number}. {step}"));
    }
}
