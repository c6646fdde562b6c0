//! `bearer-proxy logout NAME`: revokes what a login has brought (RFC 7009), and forgets it.

use super::{Common, FAILURE, Output, SUCCESS, WRONG, credential, login, output, small_runtime};
use crate::oauth::{LoggedOut, Revoked};

/// The arguments of `bearer-proxy logout`.
#[derive(Debug, clap::Args)]
pub(super) struct LogoutArguments {
    /// Which credential of the file
    name: String,
    /// Tell on standard error what was sent and what came back, even if all went well
    #[arg(short, long)]
    verbose: bool,
}

/// Logs out.
pub(super) fn logout(common: &Common, arguments: &LogoutArguments, out: &mut Output) -> u8 {
    let name = &arguments.name;
    let Some(config) = common.load() else { return WRONG };
    let Some(credential) = credential::find(common, &config, name) else { return WRONG };
    let client = match credential::lasting_client(common, &config, credential) {
        Ok(client) => client,
        Err(code) => return code,
    };
    let Some(runtime) = small_runtime() else { return FAILURE };
    let mut steps = Vec::new();
    let result = runtime.block_on(client.log_out(&mut steps));
    if arguments.verbose || matches!(result, Ok(LoggedOut { revoked: Revoked::Failed(_), .. })) {
        login::tell(&steps);
    }
    match result {
        Ok(LoggedOut { was_kept: false, .. }) => {
            out.line(format_args!("{name}: nobody was logged in"));
            SUCCESS
        }
        Ok(LoggedOut { revoked, .. }) => said(name, &revoked, out),
        Err(error) => {
            output::complain(&format!("credentials.{name}: still logged in: {error}"));
            FAILURE
        }
    }
}

fn said(name: &str, revoked: &Revoked, out: &mut Output) -> u8 {
    out.line(format_args!(
        "{name}: logged out; a proxy that runs uses the access token that it has to its end, or to the next 401"
    ));
    match revoked {
        Revoked::Told | Revoked::Nothing => {
            out.line("the authorization server has revoked what the login brought");
            SUCCESS
        }
        Revoked::NoEndpoint => {
            out.line(
                "the authorization server was not told: there is no revocation_url, and none in the issuer's metadata",
            );
            SUCCESS
        }
        Revoked::Failed(error) => {
            output::complain(&format!(
                "credentials.{name}: the authorization server could not be told, so that what the login brought is good \
                 there to its end: {error}"
            ));
            FAILURE
        }
    }
}
