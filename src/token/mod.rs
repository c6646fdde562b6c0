//! Keeping tokens: the token itself, its cache, its renewal ahead of expiry, the memory of failures.
//!
//! Knows nothing of how a token is got ([`TokenSource`] is all it sees of that), nor of requests beyond the head a
//! token writes itself onto.

mod access_token;
mod cache;
pub mod dpop;
mod error;
mod inject;
mod jitter;
mod moment;
mod source;
pub mod store;
mod subjects;
pub mod template;
mod tokens;

pub use access_token::AccessToken;
pub use cache::{CacheSettings, State, Status, TokenCache};
pub use error::{Failure, TokenError};
pub use inject::Inject;
pub use moment::Moment;
pub use source::TokenSource;
pub use subjects::{Exchange, Exchanged, SubjectSettings, Subjects};
pub use tokens::Tokens;
