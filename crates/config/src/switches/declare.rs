//! The language in which switches are declared, and how the text of one is read.

use crate::duration::Duration;

/// A switch, for reference documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The name in the environment.
    pub name: &'static str,
    /// What it takes: `bool`, `string`, `integer`, `number`, `duration` or a choice.
    pub takes: &'static str,
    /// The default, as one would write it.
    pub default: String,
    /// What it does.
    pub doc: &'static str,
}

/// A type a switch may have.
pub(super) trait SwitchValue: Sized {
    /// What it is called in documentation.
    const TAKES: &'static str;
    /// Reads a text of the environment.
    fn parse(text: &str) -> Option<Self>;
    /// As one would write it.
    fn show(&self) -> String;
}

impl SwitchValue for bool {
    const TAKES: &'static str = "bool";

    // what Go's strconv.ParseBool takes
    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SwitchValue for String {
    const TAKES: &'static str = "string";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl SwitchValue for Duration {
    const TAKES: &'static str = "duration";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Which objects have in their status whether they have effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// None.
    Off,
    /// Those that are refused, and from then on.
    Refused,
    /// All.
    All,
}

impl SwitchValue for Statuses {
    const TAKES: &'static str = "choice of off, refused, all";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "refused" => Some(Self::Refused),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Off => "off",
            Self::Refused => "refused",
            Self::All => "all",
        }
        .to_owned()
    }
}

macro_rules! number_switches {
    ($($ty:ty => $takes:literal),*) => { $(
        impl SwitchValue for $ty {
            const TAKES: &'static str = $takes;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
number_switches!(i64 => "integer", u32 => "integer", f64 => "number");

/// Declares all switches: `NAME field: type = default, "doc";`.
macro_rules! switches {
    (
        $( $name:ident $field:ident: $ty:ty = $default:expr, $doc:literal; )*
    ) => {
        /// The value of every switch.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Switches {
            $(
                #[doc = concat!("`", stringify!($name), "`: ", $doc)]
                pub $field: $ty,
            )*
        }

        impl Default for Switches {
            /// Every value without any environment.
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl Switches {
            /// Sets one switch by its name; gives the problem if the text is nothing it takes.
            fn set(&mut self, name: &str, text: &str) -> Result<(), Refusal> {
                match name {
                    $( stringify!($name) => assign(&mut self.$field, text), )*
                    _ => Err(Refusal::Unknown),
                }
            }

            /// Every switch, for reference documentation, by name.
            pub fn list() -> Vec<Switch> {
                let on = Self::default();
                let mut out = vec![
                    $( describe(stringify!($name), &on.$field, $doc), )*
                ];
                out.sort_by_key(|switch| switch.name);
                out
            }

            /// The value of every switch as one would write it, by name.
            pub fn shown(&self) -> std::collections::BTreeMap<&'static str, String> {
                [
                    $( (stringify!($name), self.$field.show()), )*
                ]
                .into()
            }
        }
    };
}
pub(super) use switches;

/// Why a pair was not taken.
pub(super) enum Refusal {
    /// There is no such switch.
    Unknown,
    /// The text is not what the switch takes.
    Mismatch(&'static str),
}

pub(super) fn assign<T: SwitchValue>(slot: &mut T, text: &str) -> Result<(), Refusal> {
    *slot = T::parse(text).ok_or(Refusal::Mismatch(T::TAKES))?;
    Ok(())
}

pub(super) fn describe<T: SwitchValue>(name: &'static str, default: &T, doc: &'static str) -> Switch {
    Switch { name, takes: T::TAKES, default: default.show(), doc }
}
