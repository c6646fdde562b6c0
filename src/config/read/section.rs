//! The two words in which the file's format is written down: [`section!`] and [`words!`].

/// Declares a section of the file: its keys in the words of the file, what each holds, with an example those that must
/// be there, and the keys that a later version will know.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        struct $name:ident {
            $($(#[$doc:meta])* $key:ident: $type:ty $(, required $example:literal)?;)*
        }
        $(later { $($later:ident),* $(,)? })?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $($(#[$doc])* pub(crate) $key: $crate::config::read::Field<$type>,)*
        }

        impl $crate::config::read::Read for $name {
            fn read(
                node: &$crate::config::node::Node,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                let known = &[$(stringify!($key)),*];
                let later = &[$($(stringify!($later)),*)?];
                let fields = reader.fields(node, known, later)?;
                Some(Self {
                    $($key: fields.take(stringify!($key), <[&str]>::first(&[$($example)?]).copied(), reader),)*
                })
            }
        }
    };
}

/// Declares how an enum is written: its words, and those that a later version will know.
macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),* $(,)? } $(later { $($later:literal),* $(,)? })?) => {
        impl $crate::config::read::Read for $type {
            fn read(
                node: &$crate::config::node::Node,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                reader.word(node, &[$(($word, $value)),*], &[$($($later),*)?])
            }
        }
    };
}

pub(crate) use section;
pub(crate) use words;
