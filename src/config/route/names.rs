//! What routes are called in logs and metrics: as written, else made from host and path. Each name once.

use std::collections::HashMap;

use super::RouteSection;
use crate::config::read::Placed;
use crate::config::read::Reader;
use crate::route::HostPattern;

/// Names of routes, each once.
pub(super) struct Names {
    /// With the line of those that are written.
    taken: HashMap<String, usize>,
    /// The number that the next of this name gets.
    next: HashMap<String, usize>,
}

impl Names {
    /// Those that are written; two that are the same are a mistake.
    pub(super) fn new(written: &[Placed<RouteSection>], reader: &mut Reader<'_>) -> Self {
        let mut taken = HashMap::new();
        for name in written.iter().filter_map(|route| route.value.name.as_ref()) {
            if let Some(line) = taken.get(&name.value.0) {
                reader.wrong(&name.at, format_args!("the route in line {line} has this name already"));
            } else {
                taken.insert(name.value.0.clone(), name.at.line);
            }
        }
        Self { taken, next: HashMap::new() }
    }

    /// As written, else made from host and path: `api.example/orders`, and `api.example/orders-2` if that is taken.
    pub(super) fn of(&mut self, route: &RouteSection) -> String {
        if let Some(name) = &route.name {
            return name.value.0.clone();
        }
        let path = route.path.as_ref().map_or("", |path| path.value.0.trim_matches('/'));
        let host = match route.host.as_ref().map(|host| &host.value) {
            Some(HostPattern::Exact(host)) => host.clone(),
            Some(HostPattern::Below(domain)) => format!("*.{domain}"),
            None => String::new(),
        };
        let base = match (host.as_str(), path) {
            ("", "") => "default".to_owned(),
            (host, "") => host.to_owned(),
            ("", path) => path.to_owned(),
            (host, path) => format!("{host}/{path}"),
        };
        let number = self.next.entry(base.clone()).or_insert(1);
        let mut name = base.clone();
        while self.taken.contains_key(&name) {
            *number = number.saturating_add(1);
            name = format!("{base}-{number}");
        }
        self.taken.insert(name.clone(), 0);
        name
    }
}
