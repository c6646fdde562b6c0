//! `listeners`: as written, and what they become.
//!
//! Off loopback nobody may call unless the file says who (R69): a missing `access` there is a mistake.

use std::net::SocketAddr;
use std::time::Duration;

use super::node::Node;
use super::node::Value;
use super::read::Count;
use super::read::Field;
use super::read::Origin;
use super::read::Placed;
use super::read::Read;
use super::read::ReadableFile;
use super::read::Reader;
use super::read::Size;
use super::read::section;
use super::read::value_or;
use crate::access::AccessSettings;
use crate::access::Callers;
use crate::access::HostRule;
use crate::access::OriginRule;
use crate::route::HostPattern;
use crate::server::settings::ListenAddress;
use crate::server::settings::ListenerLimits;
use crate::server::settings::ListenerSettings;
use crate::server::settings::ListenerTimeouts;
use crate::server::settings::ListenerTls;
use crate::tls::IdentitySettings;

section! {
    /// One of `listeners`.
    struct Listener {
        address: ListenAddress, required "127.0.0.1:8080";
        tls: Tls;
        access: Access;
        hosts: Vec<Placed<HostPattern>>;
        allowed_origins: Vec<Placed<Origin>>;
        timeouts: Timeouts;
        limits: Limits;
    }
}

section! {
    /// `tls` of a listener.
    struct Tls {
        certificate: ReadableFile, required "server.pem";
        private_key: ReadableFile, required "server.key";
        client_ca: ReadableFile;
    }
}

section! {
    /// `timeouts` of a listener.
    struct Timeouts {
        request_head: Duration;
        idle: Duration;
        tls_handshake: Duration;
        send: Duration;
    }
}

section! {
    /// `limits` of a listener.
    struct Limits {
        connections: Count<1, 1_000_000>;
        request_head: Size<SMALLEST_HEAD, LARGEST_HEAD>;
        headers: Count<1, 2_000>;
    }
}

/// hyper takes no smaller buffer.
const SMALLEST_HEAD: usize = 8 * 1024;

/// Sixteen times the default: every connection may use it.
const LARGEST_HEAD: usize = 1024 * 1024;

/// `access`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access(Callers);

impl Read for Access {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::List(_) = node.value {
            let place = reader.place(node);
            return reader.later(&place, "a list of names under `clients`");
        }
        reader.word(node, &[("local", Self(Callers::Local)), ("anyone", Self(Callers::Anyone))], &[])
    }
}

/// All listeners, no two at the same address, nor at that of `admin`.
pub(crate) fn listeners(
    written: Vec<Placed<Listener>>,
    admin: Option<&Placed<SocketAddr>>,
    reader: &mut Reader<'_>,
) -> Vec<ListenerSettings> {
    let mut seen: Vec<(ListenAddress, usize)> =
        admin.map(|admin| (ListenAddress::Tcp(admin.value), admin.at.line)).into_iter().collect();
    let mut listeners = Vec::new();
    for written in written {
        if let Some(address) = &written.value.address {
            // Port 0 is another port each time.
            let any_port = matches!(address.value, ListenAddress::Tcp(address) if address.port() == 0);
            match seen.iter().find(|(other, _)| *other == address.value && !any_port) {
                Some((_, line)) => reader.wrong(&address.at, format_args!("line {line} listens there already")),
                None => seen.push((address.value.clone(), written.at.line)),
            }
        }
        listeners.extend(listener(written, reader));
    }
    listeners
}

fn listener(listener: Placed<Listener>, reader: &mut Reader<'_>) -> Option<ListenerSettings> {
    let Placed { value: written, sound, .. } = listener;
    let address = written.address?;
    let private = match &address.value {
        ListenAddress::Tcp(address) => is_loopback(address),
        ListenAddress::Unix(_) => true,
        ListenAddress::Systemd(_) => false,
    };
    let callers = match written.access {
        Some(access) => access.value.0,
        None if private => Callers::Local,
        None if !sound => return None,
        None => {
            let message = "this is not a loopback address: say who may call; write `access: local` for this host alone, \
                           or `access: anyone` for all who can connect";
            reader.wrong(&address.at, message);
            return None;
        }
    };
    Some(ListenerSettings {
        address: address.value,
        tls: written.tls.and_then(|tls| identity(tls.value)),
        access: AccessSettings {
            callers,
            hosts: match written.hosts {
                Some(hosts) => HostRule::Listed(hosts.value.into_iter().map(|host| host_text(host.value)).collect()),
                None if private => HostRule::OwnAndRoutes,
                None => HostRule::Any,
            },
            origins: match written.allowed_origins {
                Some(list) => OriginRule::Listed(list.value.into_iter().map(|origin| origin.value.0).collect()),
                None if private => OriginRule::Listed(Vec::new()),
                None => OriginRule::Any,
            },
        },
        timeouts: timeouts(written.timeouts),
        limits: limits(written.limits),
    })
}

/// Loopback, also when an IPv4 address is written as IPv6.
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn host_text(host: HostPattern) -> String {
    match host {
        HostPattern::Exact(host) => host,
        HostPattern::Below(domain) => format!("*.{domain}"),
    }
}

fn identity(written: Tls) -> Option<ListenerTls> {
    let identity =
        IdentitySettings { certificate: written.certificate?.value.0, private_key: written.private_key?.value.0 };
    Some(ListenerTls { identity, client_ca: written.client_ca.map(|file| file.value.0) })
}

fn timeouts(written: Field<Timeouts>) -> ListenerTimeouts {
    let default = ListenerTimeouts::default();
    let Some(Placed { value, .. }) = written else { return default };
    ListenerTimeouts {
        request_head: value_or(value.request_head, default.request_head),
        idle: value_or(value.idle, default.idle),
        tls_handshake: value_or(value.tls_handshake, default.tls_handshake),
        send: value_or(value.send, default.send),
        park: default.park,
    }
}

fn limits(written: Field<Limits>) -> ListenerLimits {
    let default = ListenerLimits::default();
    let Some(Placed { value, .. }) = written else { return default };
    ListenerLimits {
        connections: value_or(value.connections, Count(default.connections)).0,
        request_head: value_or(value.request_head, Size(default.request_head)).0,
        headers: value_or(value.headers, Count(default.headers)).0,
    }
}
