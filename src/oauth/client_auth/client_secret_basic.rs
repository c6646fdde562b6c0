//! The client's secret in HTTP Basic (RFC 6749 §2.3.1, RFC 7617).
//!
//! §2.3.1 has id and secret form-encoded first, so that a colon in the id cannot end it; many servers never decode, hence
//! [`BasicEncoding::Raw`]. Which of the two a server wants shows only with characters such as `+`, `%`, `/` or `!`.

use base64::prelude::{BASE64_STANDARD, Engine};
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::ClientAuth;
use super::TokenRequest;
use crate::oauth::settings::BasicEncoding;
use crate::secret::Secret;
use crate::token::TokenError;

/// Id and secret in the `Authorization` header field.
pub(super) struct ClientSecretBasic {
    pub(super) client_id: Secret,
    pub(super) secret: Secret,
    pub(super) encoding: BasicEncoding,
}

impl ClientAuth for ClientSecretBasic {
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        let (id, secret) = (self.encoded(&self.client_id), self.encoded(&self.secret));
        let pair = Zeroizing::new([id.as_str(), ":", secret.as_str()].concat());
        let credentials = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        request.conceal(self.secret.clone());
        request.conceal(Secret::new(credentials.as_str()));
        request.set_header(AUTHORIZATION, Secret::new(["Basic ", credentials.as_str()].concat()));
        Ok(())
    }
}

impl ClientSecretBasic {
    fn encoded(&self, text: &Secret) -> Zeroizing<String> {
        Zeroizing::new(match self.encoding {
            BasicEncoding::Form => url::form_urlencoded::byte_serialize(text.expose().as_bytes()).collect(),
            BasicEncoding::Raw => text.expose().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(id: &str, secret: &str, encoding: BasicEncoding) -> String {
        let mut request = TokenRequest::for_test();
        let auth = ClientSecretBasic { client_id: Secret::new(id), secret: Secret::new(secret), encoding };
        auth.sign(&mut request).unwrap();
        assert_eq!(request.form(), "", "one way of authenticating, not two (RFC 6749 §2.3)");
        request.header("authorization").unwrap().expose().to_owned()
    }

    #[test]
    fn it_sends_what_rfc_6749_section_2_3_1_shows() {
        for encoding in [BasicEncoding::Form, BasicEncoding::Raw] {
            assert_eq!(authorization("s6BhdRkqt3", "gX1fBat3bV", encoding), "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
        }
    }

    #[test]
    fn special_characters_are_form_encoded_first() {
        let expected = BASE64_STANDARD.encode("a%3Ab+c:p%2Bq%25%2F%21%C3%A9");
        assert_eq!(authorization("a:b c", "p+q%/!é", BasicEncoding::Form), format!("Basic {expected}"));
    }

    #[test]
    fn raw_leaves_them_as_they_are() {
        let expected = BASE64_STANDARD.encode("id:p+q%/!é");
        assert_eq!(authorization("id", "p+q%/!é", BasicEncoding::Raw), format!("Basic {expected}"));
    }
}
