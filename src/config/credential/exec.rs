//! `command`, `args` and `env` of the grant `exec`.

use std::path::PathBuf;

use super::CredentialSection;
use crate::config::node::Node;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::oauth::settings::ExecSettings;

/// `command`: a path, relative to the directory of the file, or a name that is looked for in PATH.
#[derive(Clone, Debug)]
pub(crate) struct Command(PathBuf);

impl Read for Command {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        if !text.contains('/') {
            if text.contains(char::is_whitespace) {
                return reader
                    .refuse(node, "is one command, started without a shell; write its arguments as `args: […]`");
            }
            return Some(Self(text.into()));
        }
        let path = reader.directory.join(text);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(Self(path)),
            Ok(_) => reader.refuse(node, "is no file"),
            Err(error) => reader.refuse(node, format_args!("cannot be started: {error}")),
        }
    }
}

/// The grant `exec`.
pub(super) fn exec(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<ExecSettings> {
    let keys = &section.value;
    if keys.command.is_none() {
        reader.absent(section, "\"command\" is missing; the grant `exec` needs it");
    }
    let args = keys.args.iter().flat_map(|args| &args.value).map(|arg| arg.value.0.clone()).collect();
    let mut env = Vec::new();
    for (name, value) in keys.env.iter().flat_map(|env| env.value.iter()) {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            reader.wrong(&name.at, "is not the name of an environment variable");
        }
        env.push((name.value.clone(), value.value.0.clone()));
    }
    Some(ExecSettings { command: keys.command.clone()?.value.0, args, env })
}
