//! A token that a command prints (grant `exec`).

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use super::OAuthClient;
use super::obtained::Obtained;
use crate::oauth::endpoint::Answer;
use crate::oauth::explain::Step;
use crate::oauth::grant::Exec;
use crate::oauth::process::{self, End, Ran};
use crate::oauth::request::scrub;
use crate::oauth::response::{self, Body};
use crate::oauth::settings::{GrantSettings, Pointer, ResponseSettings, TokenPlace};
use crate::secret::Secret;
use crate::token::template::Words;
use crate::token::{Moment, TokenError};

impl OAuthClient {
    /// Runs the command and reads what it prints; `None` for any other grant.
    pub(super) async fn run_command(&self, steps: &mut Vec<Step>) -> Result<Option<Obtained>, TokenError> {
        let exec = self.blocking(|settings| match &settings.grant {
            GrantSettings::Exec(exec) => Exec::read(exec).map(Some),
            _ => Ok(None),
        });
        let Some(exec) = exec.await? else { return Ok(None) };
        let mut step = Step::running(&exec);
        let issued = Moment::now();
        let mut ran = process::run(&exec, self.settings.request.timeout).await;
        let printed = std::mem::replace(&mut ran.stdout, Zeroizing::new(Vec::new()));
        let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: printed, whole: true };
        let body = response::body(&answer);
        scrub_all(&mut ran.stderr, &exec, &body);
        step.printed(&ended(&ran.end), &answer, &body, &ran.stderr);
        let result = self.read_output(&ran, &exec, &answer, &body, issued);
        tell(&ran.stderr, result.is_ok());
        step.ended(result.as_ref().map(Obtained::meaning), &self.settings);
        steps.push(step);
        result.map(Some)
    }

    fn read_output(
        &self,
        ran: &Ran,
        exec: &Exec,
        answer: &Answer,
        body: &Body,
        issued: Moment,
    ) -> Result<Obtained, TokenError> {
        if !matches!(&ran.end, End::Status(status) if status.success()) {
            let last = ran.stderr.last().map(|line| format!("; it said: {line}")).unwrap_or_default();
            return Err(failed(exec, &format!("{}{last}", ended(&ran.end))));
        }
        let places = &self.settings.response;
        let kubectl = is_exec_credential(body).then(|| of_exec_credential(places));
        let read = response::read(answer, body, kubectl.as_ref().unwrap_or(places), &self.settings, issued.wall);
        let response = read.map_err(|error| match error {
            TokenError::Malformed(what) => failed(exec, &format!("what it printed is no token: {what}")),
            other => other,
        })?;
        let values = response.values.over(&Words::default())?;
        Ok(Obtained { token: response.access_token, issued, lifetime: Some(response.lifetime), values })
    }
}

fn failed(exec: &Exec, why: &str) -> TokenError {
    TokenError::Command(format!("`{}` {why}", exec.command.display()))
}

/// How it ended, for a person who wonders why.
fn ended(end: &End) -> String {
    match end {
        End::NotStarted(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "could not be started: there is no such command, or its interpreter is missing".to_owned()
        }
        End::NotStarted(error) => format!("could not be started: {error}"),
        End::Status(status) => explained(*status),
        End::TooLong => "was killed: it printed more than 1 MiB".to_owned(),
        End::TooLate => "was killed: it did not end within request.timeout".to_owned(),
    }
}

fn explained(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended well".to_owned(),
        (Some(126), _) => "ended with exit code 126: what it wanted to run cannot be run".to_owned(),
        (Some(127), _) => {
            "ended with exit code 127: what it wanted to run was not found (only PATH and HOME are handed on)"
                .to_owned()
        }
        (Some(code @ 129..=159), _) => {
            format!("ended with exit code {code}: something in it was ended by signal {}", code - 128)
        }
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended, and nobody knows how".to_owned(),
    }
}

/// `client.authentication.k8s.io`: what a credential plugin of kubectl prints.
fn is_exec_credential(body: &Body) -> bool {
    body.text_at("/kind") == Some("ExecCredential")
}

fn of_exec_credential(places: &ResponseSettings) -> ResponseSettings {
    ResponseSettings {
        access_token: TokenPlace::Body(Pointer("/status/token".to_owned())),
        expires_in: Pointer("/status/expirationTimestamp".to_owned()),
        ..places.clone()
    }
}

/// A command may repeat what it was given, and what it prints, in its complaints.
fn scrub_all(stderr: &mut [String], exec: &Exec, body: &Body) {
    let texts = body.texts();
    for line in stderr {
        let secrets = exec.secrets.iter().map(Secret::expose).chain(texts.iter().copied());
        *line = scrub(line, secrets);
    }
}

fn tell(stderr: &[String], is_well: bool) {
    for line in stderr {
        match is_well {
            true => tracing::info!(line, "the command said"),
            false => tracing::warn!(line, "the command said"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_explained() {
        let code = |code: i32| explained(ExitStatus::from_raw(code << 8));
        assert_eq!(code(0), "ended well");
        assert_eq!(code(3), "ended with exit code 3");
        assert!(code(127).contains("was not found"));
        assert!(code(126).contains("cannot be run"));
        assert!(code(143).contains("signal 15"));
        assert_eq!(explained(ExitStatus::from_raw(9)), "was ended by signal 9");
    }
}
