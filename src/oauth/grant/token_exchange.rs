//! Token exchange (RFC 8693): a token for somebody, in return for a token of theirs.
//!
//! Impersonation with the subject's token alone, delegation with an actor's token beside it (§1.1); which of the two is
//! granted is the server's affair. Audience, resource and scope are no part of this file: they are those of any request.

use super::Grant;
use super::TokenRequest;
use crate::oauth::settings::{SubjectSource, TokenExchangeSettings};
use crate::secret::{Secret, SecretError};
use crate::token::TokenError;

/// A subject's token, and perhaps an actor's.
pub(super) struct TokenExchange {
    /// `None`: a request was to bring it, and this is not on behalf of one.
    subject: Option<Secret>,
    subject_type: String,
    actor: Option<(Secret, String)>,
    requested_type: Option<String>,
}

impl TokenExchange {
    /// Of these settings, and of the subject that a request brought. Blocks while files are read.
    pub(super) fn read(settings: &TokenExchangeSettings, brought: Option<&Secret>) -> Result<Self, SecretError> {
        Ok(Self {
            subject: match &settings.subject {
                SubjectSource::Request(_) => brought.cloned(),
                SubjectSource::Own(source) => Some(source.read()?),
            },
            subject_type: settings.subject_type.clone(),
            actor: settings.actor.as_ref().map(|actor| Ok((actor.token.read()?, actor.kind.clone()))).transpose()?,
            requested_type: settings.requested_type.clone(),
        })
    }
}

impl Grant for TokenExchange {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        if let Some(requested) = &self.requested_type {
            request.set_text("requested_token_type", requested);
        }
        request.set("subject_token", self.subject.clone().ok_or(TokenError::NoSubject)?);
        request.set_text("subject_token_type", &self.subject_type);
        if let Some((token, kind)) = &self.actor {
            request.set("actor_token", token.clone());
            request.set_text("actor_token_type", kind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::settings::ActorSettings;
    use crate::secret::SecretSource;

    const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

    fn settings(subject: SubjectSource) -> TokenExchangeSettings {
        TokenExchangeSettings { subject, subject_type: ACCESS_TOKEN.to_owned(), actor: None, requested_type: None }
    }

    fn form(settings: &TokenExchangeSettings, brought: Option<&str>) -> Result<String, TokenError> {
        let mut request = TokenRequest::for_test();
        TokenExchange::read(settings, brought.map(Secret::new).as_ref()).unwrap().apply(&mut request)?;
        Ok(request.form())
    }

    #[test]
    fn it_sends_what_rfc_8693_section_2_3_shows() {
        let settings = settings(SubjectSource::Own(SecretSource::fixed("accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC")));
        assert_eq!(
            form(&settings, None).unwrap(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &subject_token=accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
        );
    }

    // RFC 8693 §2.1
    #[test]
    fn an_actor_token_is_sent_with_its_type_and_what_is_asked_for_too() {
        let actor = ActorSettings { token: SecretSource::fixed("a"), kind: "urn:x:actor".to_owned() };
        let settings = TokenExchangeSettings {
            actor: Some(actor),
            requested_type: Some("urn:ietf:params:oauth:token-type:jwt".to_owned()),
            ..settings(SubjectSource::Own(SecretSource::fixed("s")))
        };
        let form = form(&settings, None).unwrap();
        assert!(form.ends_with("&actor_token=a&actor_token_type=urn%3Ax%3Aactor"), "{form}");
        assert!(form.contains("&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&"), "{form}");
    }

    #[test]
    fn a_subject_that_no_request_brought_is_not_made_up() {
        let settings = settings(SubjectSource::for_test());
        assert!(form(&settings, Some("theirs")).unwrap().contains("&subject_token=theirs&"));
        assert!(matches!(form(&settings, None), Err(TokenError::NoSubject)));
    }
}
