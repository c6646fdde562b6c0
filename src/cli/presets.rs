//! `bearer-proxy presets [NAME]`: the providers whose particulars the program knows; one as text for the file.

use super::{Output, SUCCESS, WRONG, output};
use crate::config::{self, Preset};

/// The arguments of `bearer-proxy presets`.
#[derive(Debug, clap::Args)]
pub(super) struct PresetsArguments {
    /// Which one to print: a credential and a route to begin with, and the keys that it is short for
    name: Option<String>,
}

/// Lists, or prints one.
pub(super) fn presets(arguments: &PresetsArguments, out: &mut Output) -> u8 {
    let Some(name) = &arguments.name else {
        let width = config::presets().iter().map(|preset| preset.name().len()).max().unwrap_or_default();
        for preset in config::presets() {
            out.line(format_args!("{:width$}  {}", preset.name(), preset.title()));
        }
        return SUCCESS;
    };
    match Preset::find(name) {
        Ok(preset) => {
            out.line(preset.recipe().trim_end());
            SUCCESS
        }
        Err(Some(meant)) => {
            output::complain(&format!("no preset is named \"{name}\"; did you mean \"{meant}\"?"));
            WRONG
        }
        Err(None) => {
            output::complain(&format!("no preset is named \"{name}\"; `bearer-proxy presets` lists them"));
            WRONG
        }
    }
}
