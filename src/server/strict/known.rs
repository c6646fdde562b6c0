//! The fields of a head that was well: most clients send the same ones again and again, and they need no second look.
//!
//! What a field section means depends on its bytes and on the version alone. So it is remembered of HTTP/1.1 requests
//! only, compared in full, and used only while the limits stay the same, which they do for a connection's whole life.

use super::Limits;
use super::head::Framing;

/// The last field section that was let through on a connection.
#[derive(Debug, Default)]
pub(super) struct KnownFields {
    /// All after the request line, the empty line included.
    fields: Vec<u8>,
    /// How a request with them goes on; `None`: there are none yet.
    framing: Option<Framing>,
}

impl KnownFields {
    /// Whether just these follow a request line of HTTP/1.1 that is so long: how long the head is, and how the request
    /// goes on.
    pub(super) fn follow(&self, line: usize, bytes: &[u8], limits: &Limits) -> Option<(usize, Framing)> {
        let framing = self.framing?;
        let length = line + self.fields.len();
        (length <= limits.head && bytes.get(line..length)? == self.fields).then_some((length, framing))
    }

    /// These were let through after a request line of HTTP/1.1.
    pub(super) fn remember(&mut self, fields: &[u8], framing: Framing) {
        if fields.len() <= FIELDS_MAX {
            self.fields.clear();
            self.fields.reserve_exact(fields.len());
            self.fields.extend_from_slice(fields);
            self.framing = Some(framing);
        }
    }
}

/// How much is remembered. Each connection holds that much for as long as it lives.
const FIELDS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
