//! A login that is no OAuth at all: one request, written out in the file.
//!
//! What it sends is what is written, and what a client authentication with a secret adds; where its reply has a token,
//! `response` says. A refresh token that comes back is used if `request.refresh_url` says where (RFC 6749 §6).

use super::Grant;
use super::TokenRequest;
use crate::oauth::request::Described;
use crate::token::TokenError;

/// A described request.
pub(super) struct Custom {
    pub(super) request: Described,
}

impl Grant for Custom {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        self.request.write(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use url::Url;

    use super::*;
    use crate::oauth::settings::{DescribedBody, DescribedRequest, ParamValue};
    use crate::secret::SecretSource;
    use crate::token::template::Words;

    #[test]
    fn it_sends_what_is_written_and_no_grant_type() {
        let user = ParamValue::Text(SecretSource::fixed("alice"));
        let settings = DescribedRequest {
            method: Method::POST,
            url: Url::parse("https://login.example/").unwrap(),
            query: Vec::new(),
            headers: Vec::new(),
            body: DescribedBody::Form(vec![("UserName".to_owned(), user)]),
        };
        let mut request = TokenRequest::for_test();
        let grant = Custom { request: Described::read(&settings, &Words::default()).unwrap() };
        grant.apply(&mut request).unwrap();
        assert_eq!(request.form(), "UserName=alice");
    }
}
