//! A session that is kept by cookies (RFC 6265): those of a login's reply, as the header field that a browser would send.
//!
//! No jar: what a reply sets is joined and used as the token, and nothing is kept from one login to the next. Domain,
//! path and the like are not looked at, for the route says where the token goes.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::SET_COOKIE;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// These cookies as `a=1; b=2`, in this order.
///
/// # Errors
///
/// The name of one that the reply does not set, or takes away.
pub(super) fn joined<'a>(headers: &HeaderMap, names: &'a [String]) -> Result<Secret, &'a str> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.push(value(headers, name).filter(|value| !value.is_empty()).ok_or(name.as_str())?);
    }
    let room = names.iter().zip(&found).map(|(name, value)| name.len() + value.len() + 3).sum();
    let mut text = Zeroizing::new(String::with_capacity(room));
    for (name, value) in names.iter().zip(found) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    Ok(Secret::from(text))
}

/// How long the first of these cookies to go still lives, where the reply says so: `Max-Age` before `Expires` (§5.3).
pub(super) fn lifetime(headers: &HeaderMap, names: &[String], now: SystemTime) -> Option<Duration> {
    names.iter().filter_map(|name| one_lifetime(last(headers, name)?, now)).min()
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    last(headers, name)?.split(';').next()?.split_once('=').map(|(_, value)| value.trim())
}

/// The last `Set-Cookie` of this name, as a browser would keep it.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(SET_COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    fields.rfind(|field| field.split('=').next().is_some_and(|found| found.trim() == name))
}

fn one_lifetime(field: &str, now: SystemTime) -> Option<Duration> {
    let attribute = |wanted: &str| {
        let attributes = field.split(';').skip(1).filter_map(|attribute| attribute.split_once('='));
        let values = attributes.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        values.map(|(_, value)| value.trim()).last()
    };
    let span = match attribute("max-age") {
        Some(seconds) => seconds.parse().ok().map(Duration::from_secs),
        None => httpdate::parse_http_date(attribute("expires")?).ok()?.duration_since(now).ok(),
    };
    span.filter(|span| !span.is_zero())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (SET_COOKIE, HeaderValue::from_str(field).unwrap())).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    // PEERS.md section 3, no. 20: SAP Business One.
    #[test]
    fn cookies_become_the_field_that_a_browser_would_send() {
        let headers = headers(&[
            "B1SESSION=bb33ccd6-8d0a;HttpOnly;;Secure;SameSite=None",
            "other=x; Path=/",
            "ROUTEID=.node2; path=/b1s",
        ]);
        let wanted = names(&["B1SESSION", "ROUTEID"]);
        assert_eq!(joined(&headers, &wanted).unwrap().expose(), "B1SESSION=bb33ccd6-8d0a; ROUTEID=.node2");
    }

    #[test]
    fn the_last_of_a_name_counts_and_one_that_is_taken_away_is_missing() {
        let headers = headers(&["a=1", "a=2; Path=/", "b=x", "b=; Max-Age=0", "c"]);
        assert_eq!(joined(&headers, &names(&["a"])).unwrap().expose(), "a=2");
        for missing in ["b", "c", "A", "d"] {
            assert_eq!(joined(&headers, &names(&["a", missing])).map(|_| ()), Err(missing));
        }
    }

    #[test]
    fn the_first_to_go_is_the_lifetime() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = headers(&[
            "a=1; Max-Age=600; Expires=Sun, 06 Nov 1994 08:49:47 GMT",
            "b=1; expires=Sun, 06 Nov 1994 08:51:37 GMT",
            "c=1",
            "d=1; max-age=-1",
        ]);
        let lifetime = |wanted: &[&str]| lifetime(&headers, &names(wanted), now).map(|span| span.as_secs());
        assert_eq!(lifetime(&["a"]), Some(600));
        assert_eq!(lifetime(&["a", "b", "c"]), Some(120));
        assert_eq!((lifetime(&["c"]), lifetime(&["d"]), lifetime(&["x"])), (None, None, None));
    }
}
