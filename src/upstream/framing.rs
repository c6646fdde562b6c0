//! What the fields of an answer say of its length and of its connection (RFC 9112 §6.3, §9.3).

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, Version};

use super::AnswerBody;

/// What the fields of an answer say of its connection: whether no further request may follow (RFC 9112 §9.3; HTTP/1.0 can
/// say otherwise, and is not asked); and whether its length could be read in two ways (RFC 9112 §6.3; R24). hyper takes
/// the first reading, and looks at no length where no body comes.
pub(super) fn read<B>(response: &Response<AnswerBody<B>>) -> Result<bool, &'static str> {
    let (mut is_last, mut lengths, mut codings) = (response.version() == Version::HTTP_10, 0_u8, 0_u8);
    for (name, value) in response.headers() {
        if name == CONTENT_LENGTH {
            if lengths > 0 || !is_length(value.as_bytes()) {
                return Err("a Content-Length that is not one number");
            }
            lengths = 1;
        } else if name == TRANSFER_ENCODING {
            if codings > 0 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err("a Transfer-Encoding that is not exactly chunked");
            }
            codings = 1;
        } else if name == CONNECTION {
            is_last |= value.as_bytes().split(|byte| *byte == b',').any(is_close);
        }
    }
    match lengths + codings {
        2.. => Err("both Transfer-Encoding and Content-Length"),
        _ => Ok(is_last),
    }
}

fn is_close(option: &[u8]) -> bool {
    option.trim_ascii().eq_ignore_ascii_case(b"close")
}

/// `1*DIGIT` that fits.
fn is_length(value: &[u8]) -> bool {
    let number = value.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    !value.is_empty() && number.is_some()
}
