//! `request_headers` and `response_headers`: as written, and what they become.
//!
//! Refused: edits of hop-by-hop fields (RFC 9110 §7.6.1), of those that frame the message, of `Host`, and of the field
//! that the credential writes (R37).

use http::HeaderName;

use crate::config::read::Field;
use crate::config::read::HeaderText;
use crate::config::read::Named;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Reader;
use crate::config::read::field_name;
use crate::config::read::may_be_set;
use crate::config::read::section;
use crate::forward::settings::HeaderEdit;

section! {
    /// `request_headers`, `response_headers`.
    struct Edit {
        set: Named<HeaderText>;
        remove: Vec<Placed<HeaderName>>;
    }
}

/// What is written, checked; `injected`: the fields that hold the token.
pub(super) fn edit(written: Field<Edit>, injected: &[HeaderName], reader: &mut Reader<'_>) -> HeaderEdit {
    let Some(Placed { value: Edit { set, remove }, .. }) = written else { return HeaderEdit::default() };
    let mut edit = HeaderEdit::default();
    for (key, value) in set.iter().flat_map(|set| set.value.iter()) {
        let Some(name) = field_name(key, reader) else { continue };
        if edit.set.iter().any(|(other, _)| *other == name) {
            reader.wrong(&key.at, "this field is here twice: names of header fields have no case");
        }
        refuse_ours(&name, &key.at, injected, reader);
        edit.set.push((name, value.value.0.clone()));
    }
    for name in remove.map(|remove| remove.value).unwrap_or_default() {
        refuse_ours(&name.value, &name.at, injected, reader);
        edit.remove.push(name.value);
    }
    edit
}

fn refuse_ours(name: &HeaderName, at: &Place, injected: &[HeaderName], reader: &mut Reader<'_>) {
    if name == http::header::HOST {
        reader.wrong(at, "`host` cannot be edited; `preserve_host: true` passes on the downstream's own");
    } else if !may_be_set(name) {
        reader.wrong(at, format_args!("`{name}` cannot be edited: it belongs to the connection or frames the message"));
    } else if injected.contains(name) {
        reader.wrong(at, format_args!("`{name}` cannot be edited: the credential writes the token there"));
    }
}
