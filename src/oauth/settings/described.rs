//! What is written out in the file itself: a login that is no OAuth, further steps, a command.

use std::path::PathBuf;

use http::{HeaderName, Method};
use url::Url;

use super::{ParamValue, ResponseSettings};
use crate::secret::SecretSource;

/// `request` of the grant `custom` and of a step of `then`: every text in it is a template, save the URL.
#[derive(Clone, Debug)]
pub struct DescribedRequest {
    /// `method`; by default POST with a body, else GET.
    pub method: Method,
    /// `url`: https, or http to loopback; no fragment, no userinfo.
    pub url: Url,
    /// `query`: behind what the URL has of its own.
    pub query: Vec<(String, ParamValue)>,
    /// `headers`; one named `accept` or `content-type` replaces ours.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// `body`.
    pub body: DescribedBody,
}

/// `request.body`.
#[derive(Clone, Debug)]
pub enum DescribedBody {
    /// Nothing.
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, ParamValue)>),
    /// `application/json`, an object.
    Json(Vec<(String, ParamValue)>),
    /// Anything else; `text/plain` unless a header field says otherwise.
    Text(SecretSource),
}

/// A step of `then`: its `{token}` is the token of the one before.
#[derive(Clone, Debug)]
pub struct StepSettings {
    /// `request`.
    pub request: DescribedRequest,
    /// `response`.
    pub response: ResponseSettings,
    /// `response.access_token: null`: the reply brings values alone, the token stays the one before.
    pub keeps_token: bool,
}

/// A command that prints a token. Started without a shell.
#[derive(Clone, Debug)]
pub struct ExecSettings {
    /// `command`: a path, or a name that is looked for in PATH.
    pub command: PathBuf,
    /// `args`.
    pub args: Vec<SecretSource>,
    /// `env`: all that it gets of an environment, besides PATH and HOME.
    pub env: Vec<(String, SecretSource)>,
}
