//! The fields of API and log records, with their meaning: the manual is generated from the doc comments of the structs.

/// A field of a record in JSON or in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    name: &'static str,
    meaning: &'static str,
    attributes: &'static str,
}

impl Field {
    /// Called only by [`documented`].
    pub(crate) const fn new(
        name: &'static str,
        meaning: &'static str,
        attributes: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            attributes,
        }
    }

    /// Its name in JSON.
    pub(crate) fn name(&self) -> &'static str {
        let renamed = self.attributes.split_once("rename = \"");
        let renamed = renamed.and_then(|(_, rest)| rest.split('"').next());
        renamed.unwrap_or(self.name)
    }

    /// Its meaning, in a sentence.
    pub(crate) fn meaning(&self) -> &'static str {
        self.meaning.trim()
    }

    /// True where the output does not contain it: it is skipped, or its own fields replace it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.attributes.contains("flatten") || self.attributes.contains("serde(skip)")
    }
}

/// Defines a struct and gives it `FIELDS`: its fields with the first line of their doc comments.
macro_rules! documented {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                #[doc = $meaning:literal]
                $(#[$attribute:meta])*
                $of:vis $field:ident: $type:ty,
            )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $(
                #[doc = $meaning]
                $(#[$attribute])*
                $of $field: $type,
            )+
        }

        impl $name {
            /// Its fields, for the manual.
            pub(crate) const FIELDS: &'static [$crate::model::fields::Field] = &[$(
                $crate::model::fields::Field::new(
                    stringify!($field),
                    $meaning,
                    concat!($(stringify!($attribute), " "),*),
                ),
            )+];
        }
    };
}
pub(crate) use documented;
