//! Takes secrets out of a server's text, in every guise in which a server would repeat what it was sent.

use std::cmp::Reverse;

use url::form_urlencoded;
use zeroize::Zeroizing;

use super::TokenRequest;
use crate::oauth::response;
use crate::token::TokenError;

impl TokenRequest {
    /// A server may repeat what we sent: not into our log.
    pub(in crate::oauth) fn scrub_error(&self, error: TokenError) -> TokenError {
        let scrub = |text: Option<String>| text.map(|text| self.scrub(&text));
        match error {
            TokenError::Refused { code, description } => {
                let code = if response::is_known(&code) { code } else { self.scrub(&code) };
                TokenError::Refused { code, description: scrub(description) }
            }
            TokenError::Unavailable { status, description, retry_after } => {
                TokenError::Unavailable { status, description: scrub(description), retry_after }
            }
            other => other,
        }
    }
}

/// The text without these secrets. What is shorter than four characters is in any text by chance.
pub(in crate::oauth) fn scrub<'a>(text: &str, secrets: impl Iterator<Item = &'a str>) -> String {
    let mut guises: Vec<Zeroizing<String>> = secrets.flat_map(guises).filter(|guise| guise.len() >= SHORTEST).collect();
    // The longest first: a secret may be part of another.
    guises.sort_by_key(|guise| Reverse(guise.len()));
    let text = guises.iter().fold(text.to_owned(), |text, guise| text.replace(guise.as_str(), REDACTED));
    guises.iter().fold(text, |text, guise| without_beginning(text, guise))
}

/// What stands where a secret was.
pub(in crate::oauth) const REDACTED: &str = "<redacted>";

const SHORTEST: usize = 4;

/// A secret as it is, with its white space made one space each as in a shortened text, and form-encoded with `+` or
/// `%20`.
fn guises(secret: &str) -> [Zeroizing<String>; 4] {
    let blank = |letter: char| letter.is_control() || letter.is_whitespace();
    let words: Vec<&str> = secret.split(blank).filter(|word| !word.is_empty()).collect();
    let encoded = Zeroizing::new(form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>());
    [secret.to_owned(), words.join(" "), encoded.replace('+', "%20"), encoded.to_string()].map(Zeroizing::new)
}

/// A text that was cut to a length may end with the beginning of a secret.
fn without_beginning(text: String, secret: &str) -> String {
    let whole = text.strip_suffix('…').unwrap_or(&text);
    if whole.len() < SHORTEST_CUT {
        return text;
    }
    let beginnings = (SHORTEST..secret.len()).rev().filter_map(|length| secret.get(..length));
    match beginnings.into_iter().find_map(|beginning| whole.strip_suffix(beginning)) {
        Some(kept) => format!("{kept}{REDACTED}"),
        None => text,
    }
}

/// No text is cut to less (an error code).
const SHORTEST_CUT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_guise() {
        let secrets = || ["hunter2\t& more", "hunter2", "abc"].into_iter();
        for guise in ["hunter2\t& more", "hunter2 & more", "hunter2%09%26+more", "hunter2%09%26%20more", "hunter2"] {
            assert_eq!(scrub(&format!("abc: bad {guise}!"), secrets()), "abc: bad <redacted>!");
        }
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_is_found() {
        let padding = "x".repeat(64);
        for cut in ["hunt", "hunte", "hunter", "hunter2"] {
            for end in ["", "…"] {
                let expected = format!("{padding}<redacted>");
                assert!(scrub(&format!("{padding}{cut}{end}"), ["hunter2"].into_iter()).starts_with(&expected));
            }
        }
        assert_eq!(scrub("the hunt", ["hunter2"].into_iter()), "the hunt", "this was not cut");
    }
}
