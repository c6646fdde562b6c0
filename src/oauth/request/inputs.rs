//! What a token request is made of, read anew for every request: secrets' files may have changed since the last.
//!
//! The one place of this room, besides the wire, that waits for anything.

use http::HeaderName;

use super::{Ask, Value};
use crate::oauth::client_auth::{self, ClientAuth};
use crate::oauth::grant::{self, Grant};
use crate::oauth::settings::{ClientAuthSettings, CredentialSettings, ParamValue};
use crate::secret::{Secret, SecretError};
use crate::token::template::{self, Words};

/// A credential's secrets as they are now.
pub(in crate::oauth) struct Inputs {
    pub(in crate::oauth) grant: Box<dyn Grant>,
    pub(super) auth: Box<dyn ClientAuth>,
    pub(super) params: Vec<(String, Value)>,
    pub(super) refresh_params: Vec<(String, Value)>,
    pub(super) headers: Vec<(HeaderName, Secret)>,
    /// What was put into them.
    pub(super) concealed: Vec<Secret>,
}

impl Inputs {
    /// Reads them; `auth` is how the client proves itself this time. Blocks while files are read.
    pub(in crate::oauth) fn read(
        settings: &CredentialSettings,
        ask: &Ask,
        auth: &ClientAuthSettings,
    ) -> Result<Self, SecretError> {
        let request = &settings.request;
        let (mut headers, mut concealed) = (Vec::new(), Vec::new());
        for (name, value) in &request.headers {
            let filled = template::fill(value, &Words::default())?;
            headers.push((name.clone(), filled.text));
            concealed.extend(filled.secrets);
        }
        Ok(Self {
            grant: match ask {
                Ask::OwnGrant => grant::read(&settings.grant)?,
                Ask::OnBehalf(subject) => grant::read_for(&settings.grant, subject)?,
                Ask::Code(code) => Box::new(code.clone()),
                Ask::Device(device) => Box::new(device.clone()),
                Ask::Refresh(token) => Box::new(grant::RefreshToken { refresh_token: token.clone() }),
            },
            auth: client_auth::read(auth, settings.client_id.as_ref())?,
            params: parameters(&request.params)?,
            refresh_params: parameters(&request.refresh_params)?,
            headers,
            concealed,
        })
    }
}

fn parameters(settings: &[(String, ParamValue)]) -> Result<Vec<(String, Value)>, SecretError> {
    settings.iter().map(|(name, value)| Ok((name.clone(), Value::read(value)?))).collect()
}
