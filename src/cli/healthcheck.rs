//! `bearer-proxy healthcheck`: asks the admin listener, for containers without a shell.

use std::net::SocketAddr;

use super::{Common, FAILURE, SUCCESS, WRONG, admin, output};

/// The arguments of `bearer-proxy healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArguments {
    /// Ask whether it is ready to serve (/readyz), not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
    /// The admin listener, when it is not the one of the file
    #[arg(long, value_name = "IP:PORT", env = "BEARER_PROXY_ADMIN")]
    address: Option<SocketAddr>,
}

/// Asks.
pub(super) fn healthcheck(common: &Common, arguments: &HealthcheckArguments) -> u8 {
    let address = match arguments.address {
        Some(address) => address,
        None => {
            let Some(config) = common.load() else { return WRONG };
            let Some(admin) = config.admin else {
                output::complain(&format!("{}: there is no admin.address to ask", common.config.display()));
                return WRONG;
            };
            admin.address
        }
    };
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    match admin::get(address, path) {
        Ok((200, _)) => SUCCESS,
        Ok((status, _)) => {
            output::complain(&format!("{path} answers {status}"));
            FAILURE
        }
        Err(error) => {
            output::complain(&format!("{address} does not answer: {error}"));
            FAILURE
        }
    }
}
