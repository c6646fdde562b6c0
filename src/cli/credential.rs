//! The credential that a command is about.

use super::{Common, FAILURE, WRONG, output};
use crate::config::{Config, Credential};
use crate::oauth::OAuthClient;
use crate::token::store;

/// The one of this name; tells which there are if there is none.
pub(super) fn find<'a>(common: &Common, config: &'a Config, name: &str) -> Option<&'a Credential> {
    let found = config.credentials.iter().find(|known| known.settings.name == name);
    if found.is_none() {
        let names: Vec<&str> = config.credentials.iter().map(|known| known.settings.name.as_str()).collect();
        let file = common.config.display();
        output::complain(&format!("{file}: no credential is named \"{name}\"; there are: {}", names.join(", ")));
    }
    found
}

/// Its client, with the store that the file names.
///
/// # Errors
///
/// The exit code; what is wrong has been told.
pub(super) fn client(config: &Config, credential: &Credential) -> Result<OAuthClient, u8> {
    let store = store::open(&config.token_store.settings).map_err(|error| {
        output::complain(&error);
        FAILURE
    })?;
    OAuthClient::new(credential.settings.clone(), store).map_err(|error| {
        output::complain(&format!("credentials.{}.request.tls: {error}", credential.settings.name));
        WRONG
    })
}

/// As [`client`], for what is to last: a store that forgets is refused.
///
/// # Errors
///
/// As [`client`].
pub(super) fn lasting_client(common: &Common, config: &Config, credential: &Credential) -> Result<OAuthClient, u8> {
    if config.token_store.settings.is_forgetful() {
        output::complain(&format!(
            "{}: `token_store: memory` ends with the process and cannot hold a login; write `token_store: {{file: …}}`",
            common.config.display()
        ));
        return Err(WRONG);
    }
    client(config, credential)
}
