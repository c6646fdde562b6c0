//! `workers`: a number, or a mapping with one in it.

use super::WorkerModel;
use super::node::Node;
use super::node::Value;
use super::read::Count;
use super::read::Field;
use super::read::Placed;
use super::read::Read;
use super::read::Reader;
use super::read::section;
use super::read::words;

/// `workers`.
#[derive(Clone, Debug)]
pub(crate) struct Workers(WorkersMapping);

impl Read for Workers {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            return WorkersMapping::read(node, reader).map(Self);
        }
        let threads = Placed::read(node, reader)?;
        Some(Self(WorkersMapping { threads: Some(threads), model: None }))
    }
}

section! {
    /// The long form of `workers`.
    struct WorkersMapping {
        threads: Count<1, 1024>;
        model: WorkerModel;
    }
}

words! { WorkerModel { "shared" => WorkerModel::Shared, "separate" => WorkerModel::Separate } }

/// How many, if the file says so, and of which kind.
pub(crate) fn workers(written: Field<Workers>) -> (Option<usize>, WorkerModel) {
    let Some(Placed { value: Workers(WorkersMapping { threads, model }), .. }) = written else {
        return (None, WorkerModel::default());
    };
    (threads.map(|threads| threads.value.0), model.map_or_else(WorkerModel::default, Placed::into_value))
}
