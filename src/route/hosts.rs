//! Which routes a host leads to: those that name it, then those that name a domain above it, longer before shorter,
//! then those for any host.
//!
//! Names are compared without regard to case. One trailing dot is not part of a name: `api.example.` is `api.example`
//! (RFC 1034 §3.1; whether such a `Host` is let in at all is decided elsewhere).

use super::HostPattern;
use super::index::{Index, add, seed};

/// The hosts that routes name. A bucket is all routes of one host pattern, known by its number; [`ANY`] is always there.
#[derive(Debug)]
pub(super) struct Hosts {
    buckets: Vec<Bucket>,
    exact: Index,
    below: Index,
}

/// The bucket of routes for any host.
pub(super) const ANY: usize = 0;

#[derive(Debug)]
struct Bucket {
    host: Option<HostPattern>,
    /// The next less specific one.
    next: Option<usize>,
}

impl Hosts {
    /// Numbers the patterns; answers the number of each one given as well.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = Option<&'a HostPattern>>) -> (Self, Vec<usize>) {
        let mut distinct = std::collections::HashMap::from([(None, ANY)]);
        let mut buckets = vec![Bucket { host: None, next: None }];
        let numbers = patterns
            .map(|host| {
                *distinct.entry(host).or_insert_with(|| {
                    buckets.push(Bucket { host: host.cloned(), next: Some(ANY) });
                    buckets.len() - 1
                })
            })
            .collect();
        let mut hosts =
            Self { exact: Index::for_entries(buckets.len()), below: Index::for_entries(buckets.len()), buckets };
        hosts.build();
        (hosts, numbers)
    }

    fn build(&mut self) {
        for (number, bucket) in self.buckets.iter().enumerate() {
            match &bucket.host {
                Some(HostPattern::Exact(name)) => self.exact.insert(hash(name), number),
                Some(HostPattern::Below(domain)) => self.below.insert(hash(domain), number),
                None => {}
            }
        }
        let next: Vec<_> = self
            .buckets
            .iter()
            .map(|bucket| match &bucket.host {
                Some(HostPattern::Exact(name) | HostPattern::Below(name)) => Some(self.look_up(name).1.unwrap_or(ANY)),
                None => None,
            })
            .collect();
        for (bucket, next) in self.buckets.iter_mut().zip(next) {
            bucket.next = next;
        }
    }

    /// Whether no route names any.
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.len() == 1
    }

    /// The most specific bucket.
    pub(super) fn first(&self, host: &str) -> usize {
        if self.is_empty() {
            return ANY;
        }
        let (exact, below) = self.look_up(host.strip_suffix('.').unwrap_or(host));
        exact.or(below).unwrap_or(ANY)
    }

    /// The next less specific bucket.
    pub(super) fn next(&self, bucket: usize) -> Option<usize> {
        self.buckets.get(bucket)?.next
    }

    /// The bucket of exactly this host, and that of the longest domain above it. Reads from the end, so that the hash
    /// of every domain comes by on the way.
    fn look_up(&self, host: &str) -> (Option<usize>, Option<usize>) {
        if host.len() > MAX_NAME {
            return (None, None);
        }
        let mut below = None;
        let mut so_far = seed(0);
        for (at, byte) in host.bytes().enumerate().rev() {
            if byte == b'.' && at > 0 {
                let domain = host.get(at + 1..).unwrap_or_default();
                below = self.below.find(so_far, |number| self.name(number).eq_ignore_ascii_case(domain)).or(below);
            }
            so_far = add(so_far, byte.to_ascii_lowercase());
        }
        (self.exact.find(so_far, |number| self.name(number).eq_ignore_ascii_case(host)), below)
    }

    fn name(&self, number: usize) -> &str {
        match self.buckets.get(number).and_then(|bucket| bucket.host.as_ref()) {
            Some(HostPattern::Exact(name) | HostPattern::Below(name)) => name,
            None => "",
        }
    }
}

fn hash(name: &str) -> u64 {
    name.bytes().rev().fold(seed(0), |so_far, byte| add(so_far, byte.to_ascii_lowercase()))
}

/// No name is longer (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;
