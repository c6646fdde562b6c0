//! `bearer-proxy token NAME`: a token now, for curl; or the refusal, explained step by step.
//!
//! With the store that the file names: a refresh token that is used here is replaced there, and a proxy that runs takes
//! the new access token up.

use std::path::PathBuf;

use super::{Common, FAILURE, Output, SUCCESS, WRONG, credential, output, small_runtime};
use crate::oauth::{Explanation, OAuthClient};
use crate::secret::{Part, Secret, SecretSource};

/// The arguments of `bearer-proxy token`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArguments {
    /// Which credential of the file
    name: String,
    /// Tell on standard error what was sent and what came back, even if all went well
    #[arg(short, long)]
    verbose: bool,
    /// The token to exchange, where otherwise a request brings it (`subject_token: request`): a file with it
    #[arg(long, value_name = "FILE")]
    subject: Option<PathBuf>,
}

/// Gets and prints.
pub(super) fn token(common: &Common, arguments: &TokenArguments, out: &mut Output) -> u8 {
    let Some(config) = common.load() else { return WRONG };
    let Some(credential) = credential::find(common, &config, &arguments.name) else { return WRONG };
    let client = match credential::client(&config, credential) {
        Ok(client) => client,
        Err(code) => return code,
    };
    let subject = match subject(&client, arguments) {
        Ok(subject) => subject,
        Err(problem) => {
            output::complain(&problem);
            return WRONG;
        }
    };
    let Some(runtime) = small_runtime() else { return FAILURE };
    let Some(explanation) = runtime.block_on(explained(&client, subject.as_ref())) else { return FAILURE };
    if arguments.verbose || explanation.outcome.is_err() {
        output::complain(&explanation);
    }
    match explanation.outcome {
        Ok(issued) => {
            // The one place where a token is printed: it is what this command is for.
            out.line(issued.token.expose());
            SUCCESS
        }
        Err(_explained) => FAILURE,
    }
}

/// What became of it; `None` if Ctrl-C came first.
async fn explained(client: &OAuthClient, subject: Option<&Secret>) -> Option<Explanation> {
    let explained = async {
        match subject {
            Some(subject) => client.explain_for(subject).await,
            None => client.explain().await,
        }
    };
    tokio::pin!(explained);
    tokio::select! {
        explanation = &mut explained => return Some(explanation),
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
    // A command that prints a token is not to outlive who asked for it. Of a server, the refresh token that it may have
    // rotated by now must reach the store.
    if !client.runs_command() {
        output::complain(&"the token request under way ends first; a second Ctrl-C stops at once");
        tokio::select! {
            _ = explained => {}
            Ok(()) = tokio::signal::ctrl_c() => {}
        }
    }
    None
}

/// The subject's token, for a credential that exchanges what requests bring.
fn subject(client: &OAuthClient, arguments: &TokenArguments) -> Result<Option<Secret>, String> {
    let name = &arguments.name;
    match (&arguments.subject, client.subjects()) {
        (None, None) => Ok(None),
        (Some(file), Some(_)) => {
            let source = SecretSource::from_parts(vec![Part::File(file.clone())]);
            source.read().map(Some).map_err(|error| format!("--subject: {error}"))
        }
        (None, Some(_)) => {
            Err(format!("credentials.{name} exchanges the token that a request brings: give one with --subject FILE"))
        }
        (Some(_), None) => Err(format!("credentials.{name} exchanges no token of a request: leave out --subject")),
    }
}
