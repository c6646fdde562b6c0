//! `bearer-proxy token NAME`: a token now, for curl; or the refusal, explained step by step.

use std::sync::Arc;

use super::{Common, FAILURE, Output, SUCCESS, WRONG, output, small_runtime};
use crate::oauth::OAuthClient;
use crate::token::store::MemoryStore;

/// The arguments of `bearer-proxy token`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArguments {
    /// Which credential of the file
    name: String,
    /// Tell on standard error what was sent and what came back, even if all went well
    #[arg(short, long)]
    verbose: bool,
}

/// Gets and prints.
pub(super) fn token(common: &Common, arguments: &TokenArguments, out: &mut Output) -> u8 {
    let Some(config) = common.load() else { return WRONG };
    let Some(credential) = config.credentials.iter().find(|known| known.settings.name == arguments.name) else {
        let names: Vec<&str> = config.credentials.iter().map(|known| known.settings.name.as_str()).collect();
        output::complain(&format!(
            "{}: no credential is named \"{}\"; there are: {}",
            common.config.display(),
            arguments.name,
            names.join(", ")
        ));
        return WRONG;
    };
    let client = match OAuthClient::new(credential.settings.clone(), Arc::new(MemoryStore::default())) {
        Ok(client) => client,
        Err(error) => {
            output::complain(&format!("credentials.{}.request.tls: {error}", arguments.name));
            return WRONG;
        }
    };
    let Some(runtime) = small_runtime() else { return FAILURE };
    let explanation = runtime.block_on(client.explain());
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
