//! A command that prints a token: a helper that people have already (`gcloud`, `kubelogin`, a script).
//!
//! Started as it is written, without a shell. Asks no token endpoint: what it prints is read as a token endpoint's answer
//! would be, and kubectl's ExecCredential is known too.

use std::path::PathBuf;

use super::Grant;
use super::TokenRequest;
use crate::oauth::settings::ExecSettings;
use crate::secret::{Secret, SecretError};
use crate::token::TokenError;

/// A command with its secrets as they are now.
pub(in crate::oauth) struct Exec {
    pub(in crate::oauth) command: PathBuf,
    pub(in crate::oauth) args: Vec<Secret>,
    pub(in crate::oauth) env: Vec<(String, Secret)>,
    /// What must not be repeated of all that.
    pub(in crate::oauth) secrets: Vec<Secret>,
}

impl Exec {
    /// Reads them. Blocks while files are read.
    pub(in crate::oauth) fn read(settings: &ExecSettings) -> Result<Self, SecretError> {
        let (mut args, mut env, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for arg in &settings.args {
            args.push(arg.read()?);
            // What is written there is a word for the command; what was put in may be a secret.
            let put_in = arg.pieces()?.into_iter().filter(|piece| !piece.is_written);
            secrets.extend(put_in.map(|piece| piece.text));
        }
        for (name, value) in &settings.env {
            let value = value.read()?;
            secrets.push(value.clone());
            env.push((name.clone(), value));
        }
        Ok(Self { command: settings.command.clone(), args, env, secrets })
    }
}

impl Grant for Exec {
    fn apply(&self, _request: &mut TokenRequest) -> Result<(), TokenError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Part, SecretSource};

    #[test]
    fn what_was_put_in_is_kept_secret_and_what_is_written_is_not() {
        let put_in = SecretSource::from_parts(vec![Part::Text(Secret::new("--key=")), Part::Value(Secret::new("k"))]);
        let settings = ExecSettings {
            command: "helper".into(),
            args: vec![SecretSource::fixed("print"), put_in],
            env: vec![("PASSWORD".to_owned(), SecretSource::fixed("p"))],
        };
        let exec = Exec::read(&settings).unwrap();
        assert_eq!(exec.args.iter().map(Secret::expose).collect::<Vec<_>>(), ["print", "--key=k"]);
        assert_eq!(exec.secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["k", "p"]);
        let mut request = TokenRequest::for_test();
        exec.apply(&mut request).unwrap();
        assert_eq!(request.form(), "");
    }
}
