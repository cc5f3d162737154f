//! Enums whose variants have one name, used in the log, the API, the metrics and the config.

/// Defines an enum of variants without values, each with its name, and adds `ALL`, `NAMES` and `as_str`; serde uses the names.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$attribute:meta])* $variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $( $(#[$attribute])* $variant, )+
        }

        #[allow(dead_code, reason = "no enum needs all of them")]
        impl $name {
            /// Every variant, in the order of the definition.
            pub(crate) const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];
            /// The same with their names.
            pub(crate) const NAMES: [(&'static str, Self); [$($text),+].len()] = [$(($text, Self::$variant)),+];

            /// Its name.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let name = std::borrow::Cow::<'_, str>::deserialize(from)?;
                let found = Self::NAMES.into_iter().find(|(known, _)| *known == name);
                let unknown = || serde::de::Error::custom(format!("unknown name {name:?}"));
                found.map(|(_, variant)| variant).ok_or_else(unknown)
            }
        }
    };
}
pub(crate) use named;
