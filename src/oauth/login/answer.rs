//! The answer to an authorization request (RFC 6749 §4.1.2, §4.1.2.1; RFC 9207).
//!
//! Pure. An answer that does not know our `state` is none of ours: anybody can call a port of this machine, so it neither
//! ends a login nor is told why. What does know it ends the login, whatever else it says.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use url::form_urlencoded;

use super::LoginError;
use crate::oauth::response;
use crate::oauth::settings::AuthorizationSettings;
use crate::secret::Secret;

/// What an answer must be like.
pub(in crate::oauth) struct Expected {
    pub(in crate::oauth) state: Secret,
    /// What the answer calls it.
    pub(in crate::oauth) state_parameter: String,
    /// `authorization.code_parameter`.
    pub(in crate::oauth) code_parameter: String,
    /// `authorization.values`.
    pub(in crate::oauth) values: Vec<(String, String)>,
    pub(in crate::oauth) issuer: Issuer,
}

/// Who is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Issuer {
    /// Not known: it cannot be told from another.
    Unknown,
    /// This one, if the answer says who it is of.
    Known(String),
    /// This one, and the answer has to say so (`authorization_response_iss_parameter_supported`).
    Said(String),
}

/// A code, and what else came with it.
#[derive(Clone, Debug)]
pub(in crate::oauth) struct Code {
    pub(in crate::oauth) code: Secret,
    /// `authorization.values`, by our names.
    pub(in crate::oauth) values: Vec<(String, Secret)>,
}

impl Expected {
    /// Of a request with this `state`.
    pub(in crate::oauth) fn new(state: Secret, settings: &AuthorizationSettings, issuer: Issuer) -> Self {
        Self {
            state,
            state_parameter: settings.name_of("state").to_owned(),
            code_parameter: settings.code_parameter.clone(),
            values: settings.values.clone(),
            issuer,
        }
    }

    /// What a query says. `None`: it is no answer to our request.
    pub(in crate::oauth) fn read(&self, query: &str) -> Option<Result<Code, LoginError>> {
        let said = Parameters::read(query);
        let state = said.only(&self.state_parameter)?;
        // In a time that says nothing of how much of it is right.
        verify_slices_are_equal(state.as_bytes(), self.state.expose().as_bytes()).ok()?;
        Some(self.read_ours(&said))
    }

    /// What a person has brought: the URL that their browser came to, or the code alone.
    pub(in crate::oauth) fn read_pasted(&self, text: &str) -> Result<Code, LoginError> {
        let text = text.trim();
        let is_url = text.contains("://") || text.contains(&format!("{}=", self.state_parameter));
        if is_url {
            let query = text.split_once('?').map_or(text, |(_, query)| query);
            let query = query.split('#').next().unwrap_or_default();
            return self.read(query).unwrap_or(Err(LoginError::Foreign));
        }
        let is_code = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match &self.issuer {
            _ if !is_code => Err(LoginError::NoCode),
            Issuer::Said(_) => Err(LoginError::NoIssuer),
            Issuer::Unknown | Issuer::Known(_) => Ok(Code { code: Secret::new(text), values: Vec::new() }),
        }
    }

    fn read_ours(&self, said: &Parameters) -> Result<Code, LoginError> {
        match (&self.issuer, said.only("iss")) {
            (Issuer::Said(_), None) => return Err(LoginError::NoIssuer),
            (Issuer::Said(issuer) | Issuer::Known(issuer), Some(iss)) if iss != issuer => {
                return Err(LoginError::WrongIssuer);
            }
            (Issuer::Unknown | Issuer::Known(_) | Issuer::Said(_), _) => {}
        }
        if let Some(error) = said.only("error") {
            let description = said.only("error_description").map(response::shortened);
            let code = response::code(error).unwrap_or_else(|| "an error without a code".to_owned());
            return Err(LoginError::Refused { code, description });
        }
        let code = said.only(&self.code_parameter).filter(|code| !code.is_empty()).ok_or(LoginError::NoCode)?;
        let value = |(name, parameter): &(String, String)| Some((name.clone(), Secret::new(said.only(parameter)?)));
        Ok(Code { code: Secret::new(code), values: self.values.iter().filter_map(value).collect() })
    }
}

/// The parameters of a query.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().take(MANY).collect())
    }

    /// The parameter of this name; one that is there twice means nothing (RFC 6749 §3.1).
    fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }
}

/// No answer has more parameters.
const MANY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(issuer: Issuer) -> Expected {
        let values = vec![("company".to_owned(), "realmId".to_owned())];
        let settings = AuthorizationSettings { values, ..AuthorizationSettings::default() };
        Expected::new(Secret::new("xyz"), &settings, issuer)
    }

    fn known() -> Issuer {
        Issuer::Known("https://as.example".to_owned())
    }

    fn said() -> Issuer {
        Issuer::Said("https://as.example".to_owned())
    }

    fn read(issuer: Issuer, query: &str) -> Option<Result<String, String>> {
        let read = expected(issuer).read(query)?;
        Some(read.map(|code| code.code.expose().to_owned()).map_err(|error| error.to_string()))
    }

    // RFC 6749 §4.1.2
    #[test]
    fn a_code_with_our_state_is_taken() {
        assert_eq!(read(Issuer::Unknown, "code=SplxlOBe&state=xyz"), Some(Ok("SplxlOBe".to_owned())));
        let code = expected(known()).read("code=a+b%2Bc&state=xyz&realmId=123").unwrap().unwrap();
        assert_eq!(code.code.expose(), "a b+c");
        let values: Vec<_> = code.values.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(values, [("company", "123")]);
    }

    #[test]
    fn an_answer_that_does_not_know_our_state_is_none() {
        for query in [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state=xy",
            "code=c&state=xyzz",
            "code=c&state=XYZ",
            "code=c&state=xyz&state=xyz",
            "error=access_denied",
            "error=access_denied&state=abc",
        ] {
            assert!(read(known(), query).is_none(), "{query}");
        }
    }

    // RFC 6749 §4.1.2.1
    #[test]
    fn a_refusal_says_its_code_and_nothing_that_moves_a_terminal() {
        let query = "error=access_denied&error_description=no%1b%5B2Jway&state=xyz";
        let refused = read(Issuer::Unknown, query).unwrap().unwrap_err();
        assert!(refused.contains("access_denied") && refused.contains("no [2Jway"), "{refused:?}");
        let odd = read(Issuer::Unknown, "error=%3Cscript%3E&state=xyz").unwrap().unwrap_err();
        assert!(!odd.contains('<'), "{odd}");
        assert!(read(Issuer::Unknown, "state=xyz&code=").unwrap().is_err());
    }

    // RFC 9207 §2.4
    #[test]
    fn an_answer_of_another_server_ends_the_login() {
        let wrong = "code=c&state=xyz&iss=https%3A%2F%2Fevil.example";
        let right = "code=c&state=xyz&iss=https%3A%2F%2Fas.example";
        let silent = "code=c&state=xyz";
        for issuer in [known(), said()] {
            assert!(read(issuer.clone(), wrong).unwrap().is_err());
            assert!(read(issuer, right).unwrap().is_ok());
        }
        assert!(read(known(), silent).unwrap().is_ok());
        assert!(read(said(), silent).unwrap().is_err(), "it says that it always says who it is");
        assert!(read(said(), "error=access_denied&state=xyz").unwrap().unwrap_err().contains("iss"));
    }

    #[test]
    fn a_person_may_bring_the_url_or_the_code() {
        let pasted = |issuer, text: &str| {
            expected(issuer).read_pasted(text).map(|code| code.code.expose().to_owned()).map_err(|e| e.to_string())
        };
        for text in [
            " http://127.0.0.1:1/callback?code=c&state=xyz \n",
            "code=c&state=xyz",
            "c\n",
            "https://a/?state=xyz&code=c#_=_",
        ] {
            assert_eq!(pasted(known(), text).as_deref(), Ok("c"), "{text}");
        }
        for text in ["", "http://127.0.0.1:1/callback?code=c", "code=c&state=abc", "two words", "https://as.example/"] {
            assert!(pasted(known(), text).is_err(), "{text}");
        }
        assert!(pasted(said(), "c").unwrap_err().contains("whole"), "a code alone does not say whose it is");
    }
}
