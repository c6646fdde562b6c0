//! Text of the file in which a few words in braces stand for something computed (DESIGN.md section 4).
//!
//! Only words that are known are replaced; all other braces are text, because GraphQL and JSON are full of them. What
//! is put in is not read again: a token that holds `{token}` stays as it is.

use zeroize::Zeroizing;

use crate::secret::Secret;

/// What a word in braces may stand for.
enum Placeholder {
    /// `{token}`: the access token.
    Token,
}

/// The text with its placeholders replaced.
pub(super) fn fill(text: &str, token: &Secret) -> Secret {
    let mut filled = Zeroizing::new(String::with_capacity(text.len() + token.expose().len()));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        rest = match placeholder(after) {
            Some((Placeholder::Token, after)) => {
                filled.push_str(token.expose());
                after
            }
            None => {
                filled.push('{');
                after
            }
        };
    }
    filled.push_str(rest);
    Secret::from(filled)
}

/// The placeholder that an opening brace begins, and what follows its closing one.
fn placeholder(text: &str) -> Option<(Placeholder, &str)> {
    text.strip_prefix("token}").map(|after| (Placeholder::Token, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        fill(text, &Secret::new("t0k")).expose().to_owned()
    }

    #[test]
    fn the_token_takes_its_placeholder_wherever_and_however_often() {
        assert_eq!(filled("Bearer {token}"), "Bearer t0k");
        assert_eq!(filled("{token}"), "t0k");
        assert_eq!(filled("{token}:{token}"), "t0k:t0k");
        assert_eq!(filled("nothing"), "nothing");
        assert_eq!(filled(""), "");
    }

    #[test]
    fn other_braces_are_text() {
        for text in ["{", "}", "{}", "{ token }", "{Token}", "{token", "{\"a\": {}}", "query { me { id } }"] {
            assert_eq!(filled(text), text);
        }
        assert_eq!(filled("{{token}}"), "{t0k}");
        assert_eq!(filled("{tok{token}en}"), "{tokt0ken}");
    }

    #[test]
    fn what_is_put_in_is_not_read_again() {
        assert_eq!(fill("<{token}>", &Secret::new("{token}")).expose(), "<{token}>");
    }
}
