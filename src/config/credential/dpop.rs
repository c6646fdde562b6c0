//! `dpop` of a credential: as written, and what it becomes.

use super::CredentialSection;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::ReadableFile;
use crate::config::read::Reader;
use crate::config::read::section;
use crate::config::read::words;
use crate::oauth::DpopAlgorithm;
use crate::oauth::DpopSettings;
use crate::oauth::algorithm_of_file;

/// `dpop`: `true`, `false`, or a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Dpop(Option<DpopMapping>);

impl Read for Dpop {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            return DpopMapping::read(node, reader).map(|mapping| Self(Some(mapping)));
        }
        let wanted = bool::read(node, reader)?;
        Some(Self(wanted.then_some(DpopMapping { algorithm: None, private_key: None })))
    }
}

section! {
    /// The long form of `dpop`.
    struct DpopMapping {
        algorithm: DpopAlgorithm;
        private_key: ReadableFile;
    }
}

words! { DpopAlgorithm { "ES256" => DpopAlgorithm::Es256, "EdDSA" => DpopAlgorithm::EdDsa } }

/// `dpop`; `None`: whoever bears the token may use it.
pub(super) fn dpop(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<DpopSettings> {
    let Placed { value: Dpop(Some(mapping)), at, .. } = section.value.dpop.as_ref()? else { return None };
    if section.value.then.is_some() {
        reader.wrong(
            at,
            "binds the token of the token endpoint, which `then` exchanges for another; remove one of the two",
        );
    }
    let algorithm = mapping.algorithm.as_ref().map(|algorithm| algorithm.value);
    let Some(file) = &mapping.private_key else {
        return Some(DpopSettings { algorithm: algorithm.unwrap_or(DpopAlgorithm::Es256), private_key: None });
    };
    match algorithm_of_file(&file.value.0) {
        Ok(of_file) => {
            if algorithm.is_some_and(|algorithm| algorithm != of_file) {
                let message = format_args!("is a key for {}; remove `algorithm`, or write that", of_file.name());
                reader.wrong(&file.at, message);
            }
            Some(DpopSettings { algorithm: of_file, private_key: Some(file.value.0.clone()) })
        }
        Err(error) => {
            reader.wrong(&file.at, error);
            None
        }
    }
}
