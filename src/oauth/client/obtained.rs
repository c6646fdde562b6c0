//! What a fetch has obtained: a token one level below its finished header, and what was kept beside it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Answered, OAuthClient};
use crate::oauth::explain::{Issued, Step};
use crate::oauth::record::Access;
use crate::oauth::request::Ask;
use crate::oauth::response::Values;
use crate::oauth::settings::CredentialSettings;
use crate::secret::Secret;
use crate::token::template::Words;
use crate::token::{AccessToken, Moment, TokenError};

/// A token, and what it is written onto requests with.
pub(in crate::oauth) struct Obtained {
    pub(super) token: Secret,
    pub(super) issued: Moment,
    /// `None`: without an end.
    pub(in crate::oauth) lifetime: Option<Duration>,
    /// `response.values`.
    pub(super) values: Words,
}

impl Obtained {
    /// For a person to read.
    pub(in crate::oauth) fn issued(self) -> Issued {
        Issued { token: self.token, lifetime: self.lifetime }
    }

    pub(in crate::oauth) fn into_token(self, settings: &CredentialSettings) -> Result<AccessToken, TokenError> {
        let CredentialSettings { inject, refresh, .. } = settings;
        let words = self.words();
        match self.lifetime {
            Some(lifetime) => AccessToken::new(words, inject, self.issued, lifetime, refresh.margin, refresh.ahead),
            None => AccessToken::endless(words, inject),
        }
    }

    /// It, with no life beyond this moment; `None` if that has come by `now`. What a lifetime counts from may be long
    /// after the fetch began.
    pub(in crate::oauth) fn ending_by(mut self, end: Moment, now: Moment) -> Option<Self> {
        self.lifetime = self.lifetime.into_iter().chain([self.issued.until(end)]).min();
        (!now.reached(end)).then_some(self)
    }

    /// For others to take up; `None`: without an end.
    pub(super) fn access(&self, mark: &str) -> Option<Access> {
        let (token, issued, values) = (self.token.clone(), self.issued, self.values.clone());
        self.lifetime.map(|lifetime| Access { token, issued, lifetime, values, mark: mark.to_owned() })
    }

    /// What it is, for a person to read.
    pub(super) fn meaning(&self) -> String {
        match self.lifetime {
            Some(lifetime) => format!("an access token that lives for {lifetime:?}"),
            None => "an access token without an end".to_owned(),
        }
    }

    /// What words in braces stand for from here on.
    pub(super) fn words(&self) -> Words {
        self.values.clone().with_token(&self.token)
    }
}

impl From<Access> for Obtained {
    fn from(Access { token, issued, lifetime, values, .. }: Access) -> Self {
        Self { token, issued, lifetime: Some(lifetime), values }
    }
}

impl OAuthClient {
    /// What the answer to a grant or a refresh leads to: its values, and the steps that follow.
    pub(in crate::oauth) async fn finish(
        &self,
        answered: Answered,
        steps: &mut Vec<Step>,
    ) -> Result<Obtained, TokenError> {
        let Answered { response, issued, ask } = answered;
        let values = self.values.renew(response.values, &ask)?;
        let lifetime = Some(response.lifetime);
        self.go_on(Obtained { token: response.access_token, issued, lifetime, values }, steps).await
    }
}

/// `response.values` as they were last: the reply to a refresh need not repeat them.
#[derive(Default)]
pub(super) struct KeptValues(Mutex<Words>);

impl KeptValues {
    /// Those that were saved with the refresh token, maybe by another process.
    pub(super) fn recall(&self, saved: Option<&Words>) {
        if let Some(saved) = saved {
            saved.clone_into(&mut self.kept());
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Words {
        self.kept().clone()
    }

    /// Those of a reply.
    pub(super) fn renew(&self, values: Values, ask: &Ask) -> Result<Words, TokenError> {
        let mut kept = self.kept();
        match ask {
            Ask::OwnGrant => *kept = values.over(&Words::default())?,
            // What came with the code is among them.
            Ask::Refresh(_) | Ask::Code(_) | Ask::Device(_) => *kept = values.over(&kept)?,
            // One caller's values are not another's.
            Ask::OnBehalf(_) => return values.over(&Words::default()),
        }
        Ok(kept.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_cut_at_a_moment_wherever_it_counts_from() {
        let begun = Moment::now();
        let span = Duration::from_secs;
        let end = begun.after(span(60));
        // Steps that came first took 40 s.
        let issued = begun.after(span(40));
        let obtained = |lifetime| Obtained { token: Secret::new("t"), issued, lifetime, values: Words::default() };
        for (lifetime, cut) in [(Some(3600), 20), (None, 20), (Some(5), 5)] {
            let obtained = obtained(lifetime.map(span)).ending_by(end, issued).unwrap();
            assert_eq!(obtained.lifetime, Some(span(cut)), "{lifetime:?}");
        }
        assert!(obtained(None).ending_by(end, end).is_none(), "it has come");
    }
}
