//! Which path prefixes of one host bucket a path begins with, longest first.
//!
//! `/a/` is a prefix of `/a/` and what is below, not of `/a`; `/a` of `/a`, `/a/` and what is below, not of `/ab`; `/` of
//! everything. Bytes are compared as they are.

use std::collections::HashMap;

use super::index::{Index, add, seed};

/// All prefixes of all buckets. One pass over the path finds the longest; from there each knows its next shorter one.
#[derive(Debug)]
pub(super) struct Prefixes {
    nodes: Vec<Node>,
    index: Index,
    reaches: Vec<Reach>,
    /// If there are few prefixes: all of them, longest first. To compare those is cheaper than to hash.
    few: Vec<usize>,
}

/// How many are few.
const FEW: usize = 4;

#[derive(Debug)]
struct Node {
    bucket: usize,
    prefix: String,
    /// The next shorter prefix of this one, in the same bucket.
    shorter: Option<usize>,
}

impl Node {
    fn is_of(&self, bucket: usize, path: &str) -> bool {
        self.bucket == bucket
            && match path.as_bytes().strip_prefix(self.prefix.as_bytes()) {
                Some([] | [b'/', ..]) => true,
                Some(_) => self.prefix.ends_with('/'),
                None => self.prefix == "/",
            }
    }
}

/// What there is to be found in one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// The node of `/`: every path has it.
    root: Option<usize>,
    /// The length of the longest prefix: the path is read no further.
    longest: usize,
    /// Bit n: there is a prefix of this length (the last bit: of this length or more).
    lengths: u64,
}

impl Reach {
    fn may_have(self, length: usize) -> bool {
        self.lengths >> length.min(63) & 1 == 1
    }
}

impl Prefixes {
    /// Numbers the distinct pairs of bucket and prefix; answers the number of each pair given as well.
    pub(super) fn new<'a>(buckets: usize, pairs: impl Iterator<Item = (usize, &'a str)>) -> (Self, Vec<usize>) {
        let mut distinct = HashMap::new();
        let mut nodes = Vec::new();
        let numbers = pairs
            .map(|(bucket, prefix)| {
                *distinct.entry((bucket, prefix)).or_insert_with(|| {
                    nodes.push(Node { bucket, prefix: prefix.to_owned(), shorter: None });
                    nodes.len() - 1
                })
            })
            .collect();
        let mut prefixes = Self {
            index: Index::for_entries(nodes.len()),
            nodes,
            reaches: vec![Reach::default(); buckets],
            few: Vec::new(),
        };
        prefixes.build();
        (prefixes, numbers)
    }

    fn build(&mut self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(reach) = self.reaches.get_mut(node.bucket) else { continue };
            if node.prefix == "/" {
                reach.root = Some(number);
                continue;
            }
            let length = node.prefix.len();
            reach.longest = reach.longest.max(length);
            reach.lengths |= 1 << length.min(63);
            self.index.insert(node.prefix.bytes().fold(seed(node.bucket), add), number);
        }
        let shorter: Vec<_> =
            self.nodes.iter().map(|node| self.longest_but(node.bucket, &node.prefix, node.prefix.len())).collect();
        for (number, (node, shorter)) in self.nodes.iter_mut().zip(shorter).enumerate() {
            node.shorter = shorter.filter(|shorter| *shorter != number);
        }
        if self.nodes.len() <= FEW {
            self.few = (0..self.nodes.len()).collect();
            self.few.sort_by_key(|number| self.nodes.get(*number).map(|node| std::cmp::Reverse(node.prefix.len())));
        }
    }

    /// The longest prefix of this path.
    pub(super) fn longest(&self, bucket: usize, path: &str) -> Option<usize> {
        if self.few.is_empty() {
            return self.longest_but(bucket, path, usize::MAX);
        }
        self.few.iter().copied().find(|number| self.nodes.get(*number).is_some_and(|node| node.is_of(bucket, path)))
    }

    /// The next shorter prefix.
    pub(super) fn shorter(&self, node: usize) -> Option<usize> {
        self.nodes.get(node)?.shorter
    }

    /// The longest prefix of this path that is not of this very length.
    fn longest_but(&self, bucket: usize, path: &str, unwanted: usize) -> Option<usize> {
        let path = path.as_bytes();
        let reach = self.reaches.get(bucket).copied().unwrap_or_default();
        let mut longest = reach.root;
        let mut hash = seed(bucket);
        let mut look = |length: usize, hash: u64| {
            if reach.may_have(length) && length != unwanted {
                longest = self.find(bucket, path, length, hash).or(longest);
            }
        };
        for (at, byte) in path.iter().take(reach.longest.saturating_add(1)).enumerate() {
            if *byte == b'/' {
                look(at, hash);
                hash = add(hash, b'/');
                look(at + 1, hash);
            } else {
                hash = add(hash, *byte);
            }
        }
        // The path itself, when it was read to its end and that was no boundary yet.
        if path.len() <= reach.longest && !path.ends_with(b"/") {
            look(path.len(), hash);
        }
        longest
    }

    fn find(&self, bucket: usize, path: &[u8], length: usize, hash: u64) -> Option<usize> {
        let prefix = path.get(..length)?;
        self.index.find(hash, |number| {
            self.nodes.get(number).is_some_and(|node| node.bucket == bucket && node.prefix.as_bytes() == prefix)
        })
    }
}
