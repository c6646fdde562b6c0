use super::*;

const LIMITS: Limits = Limits { head: 64 * 1024, fields: 100 };

/// How many bytes are let through, and whether that was the end or a violation came.
fn read(body: &[u8]) -> (usize, Result<bool, Violation>) {
    let mut chunks = Chunks::default();
    let mut read = 0;
    while read < body.len() && !chunks.is_at_end() {
        match chunks.read_on(&body[read..], &LIMITS) {
            Ok(length) => read += length,
            Err(violation) => return (read, Err(violation)),
        }
    }
    (read, Ok(chunks.is_at_end()))
}

#[test]
fn a_well_formed_body_is_followed_to_its_end() {
    // R11
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0;last\r\n\r\n",
        "5;a=\"b c\"; d\r\nhello\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
        "000\r\n\r\n",
        "0\r\nX: y\r\nDigest: z\r\n\r\n",
    ] {
        let surplus = format!("{body}GET /");
        assert_eq!(read(surplus.as_bytes()), (body.len(), Ok(true)), "{body:?}");
    }
}

#[test]
fn a_body_that_is_not_framed_as_it_should_be_is_broken_off_there() {
    // R12
    for (good, bad) in [
        ("", "\r\n"),
        ("", ";a\r\n"),
        ("", "x5\r\n"),
        ("0", "x5\r\nhello"),
        ("", "+5\r\n"),
        ("", "-5\r\n"),
        ("", " 5\r\n"),
        ("5", " \r\nhello"),
        ("5", "\t;a\r\nhello"),
        ("5", "_0\r\n"),
        ("5", "\nhello"),
        ("5\r", "hello"),
        ("5\r", "\r\nhello"),
        ("0000000000000000", "0\r\n\r\n"),
        ("FFFFFFFFFFFFFFFF", "F\r\n"),
        ("5\r\nhello", "0\r\n\r\n"),
        ("5\r\nhello", "\n0\r\n\r\n"),
        ("5\r\nhello\r", "0\r\n\r\n"),
        ("5\r\nhello", "!\r\n0\r\n\r\n"),
        ("5;a", "\nhello"),
        ("5;a\r", "b\r\nhello"),
        ("5;", "\0\r\nhello"),
        ("5;a", "\u{7f}\r\nhello"),
        ("0\r\n", "\n"),
        ("0\r\nX: y", "\n\r\n"),
        ("0\r\nX: y\r\n", "\n"),
        ("0\r\nGET / HTTP/1.1\r", "\n"),
        ("0\r\nX : y\r", "\n\r\n"),
        ("0\r\nX: y\r\n z\r", "\n\r\n"),
        ("0\r\nX: y\rz\r", "\n\r\n"),
    ] {
        let (length, end) = read(format!("{good}{bad}").as_bytes());
        assert_eq!((length, end.unwrap_err().status.as_u16()), (good.len(), 400), "{good:?} {bad:?}");
    }
}

#[test]
fn a_trailer_that_would_be_more_than_a_trailer_is_refused() {
    // R14
    for name in FORBIDDEN.into_iter().chain(["Content_Length", "HOST", "x_forwarded_for"]) {
        let (_, end) = read(format!("0\r\nX: y\r\n{name}: 1\r\n\r\n").as_bytes());
        assert!(end.is_err(), "{name}");
    }
}

#[test]
fn extensions_and_trailers_have_a_bound() {
    // R13
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1023));
    assert!(read(format!("{}0\r\n\r\n", chunk.repeat(15)).as_bytes()).1.is_ok());
    assert!(read(format!("{}0\r\n\r\n", chunk.repeat(16)).as_bytes()).1.is_err());
    let trailer = format!("X: {}\r\n", "t".repeat(1019));
    assert!(read(format!("0\r\n{}\r\n", trailer.repeat(15)).as_bytes()).1.is_ok());
    assert!(read(format!("0\r\n{}\r\n", trailer.repeat(16)).as_bytes()).1.is_err());
    assert!(read(format!("0\r\n{}\r\n", "X: y\r\n".repeat(101)).as_bytes()).1.is_err());
}

#[test]
fn the_largest_size_there_is_does_not_overflow() {
    let mut chunks = Chunks::default();
    let body = b"FFFFFFFFFFFFFFFF\r\nxxx";
    assert_eq!(chunks.read_on(body, &LIMITS), Ok(body.len()));
    assert_eq!(chunks.place, Place::Data(u64::MAX - 3));
}
