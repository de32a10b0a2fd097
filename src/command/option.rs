//! One option: its names, its value, the setting that it writes to, and its text in the help.
//!
//! Knows the arguments that options write to, and the syntax of values. The tables in `options`, the parser, the help and
//! the settings use it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lockgate::Limits;

use super::arguments::Arguments;
use super::value;

pub(super) struct Opt {
    pub name: &'static str,
    pub short: Option<char>,
    pub repeats: Repeats,
    pub kind: Kind,
    pub help: &'static str,
}

/// Which values count when an option is given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    Last,
    All,
}

/// The type of an option's value, and the setting that it writes to.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Count(fn(&mut Limits) -> &mut usize),
    Size(fn(&mut Limits) -> &mut usize),
    LongSize(fn(&mut Limits) -> &mut u64),
    Time(fn(&mut Limits) -> &mut Duration),
    Switch(fn(&mut Limits) -> &mut bool),
    Value {
        /// The placeholder of the value in the help: `FILE`.
        name: &'static str,
        accepted: &'static str,
        default: Option<&'static str>,
        /// Gives `None` for a value that is not accepted.
        set: fn(&mut Arguments, OsString) -> Option<()>,
    },
    Flag(fn(&mut Arguments)),
}

/// Options under one heading of the help.
pub(super) struct Table {
    pub title: &'static str,
    /// The help's lines before the options.
    pub note: &'static str,
    pub options: &'static [&'static [&'static Opt]],
}

impl Table {
    pub(super) fn options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().copied().flatten().copied()
    }
}

impl Opt {
    pub(super) const fn new(name: &'static str, help: &'static str, kind: Kind) -> Opt {
        Opt { name, short: None, repeats: Repeats::Last, kind, help }
    }

    pub(super) const fn short(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }

    /// Makes all values count when the option is given several times.
    pub(super) const fn repeated(self) -> Opt {
        Opt { repeats: Repeats::All, ..self }
    }

    /// Returns whether a settings file and the environment may give it too.
    pub(super) fn is_a_setting(&self) -> bool {
        !matches!(self.name, "config" | "help" | "quiet" | "verbose")
    }

    /// Returns whether `spelling` names this option: `--name`, or `-n`.
    pub(super) fn is_spelled(&self, spelling: &str) -> bool {
        match spelling.strip_prefix("--") {
            Some(name) => name == self.name,
            None => self.short.is_some_and(|letter| spelling == format!("-{letter}")),
        }
    }

    /// The placeholder of its value in the help; `None` when it takes no value.
    pub(super) fn value_name(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Count(_) => Some("N"),
            Kind::Size(_) | Kind::LongSize(_) => Some("SIZE"),
            Kind::Time(_) => Some("TIME"),
            Kind::Value { name, .. } => Some(name),
            Kind::Switch(_) | Kind::Flag(_) => None,
        }
    }

    /// Returns whether a settings file may give its value as a number: seconds, bytes, a count or a port.
    pub(super) fn takes_numbers(&self) -> bool {
        matches!(
            self.value_name(),
            Some("N" | "SIZE" | "TIME" | "PORT" | "[ADDR:]PORT" | "[ADDR:]PORT|off" | "auto|off|SECONDS")
        )
    }

    /// The values that it accepts, for an error message.
    pub(super) fn accepted(&self) -> &'static str {
        match self.kind {
            Kind::Count(_) => value::COUNT,
            Kind::Size(_) | Kind::LongSize(_) => value::SIZE,
            Kind::Time(_) => value::TIME,
            Kind::Value { accepted, .. } => accepted,
            Kind::Switch(_) | Kind::Flag(_) => "no value",
        }
    }

    /// Its default, with the unit.
    pub(super) fn default(&self) -> Option<String> {
        self.shown_in(&mut Limits::default())
    }

    /// Its value in these limits, with the unit. Of another setting, its default.
    pub(super) fn shown_in(&self, limits: &mut Limits) -> Option<String> {
        match self.kind {
            Kind::Count(field) => Some(field(limits).to_string()),
            Kind::Size(field) => u64::try_from(*field(limits)).ok().map(value::show_size),
            Kind::LongSize(field) => Some(value::show_size(*field(limits))),
            Kind::Time(field) => Some(value::show_time(*field(limits))),
            Kind::Value { default, .. } => default.map(String::from),
            Kind::Switch(_) | Kind::Flag(_) => None,
        }
    }

    /// Sets an option that takes no value.
    pub(super) fn turn_on(&self, arguments: &mut Arguments) {
        match self.kind {
            Kind::Switch(field) => *field(&mut arguments.limits) = true,
            Kind::Flag(set) => set(arguments),
            Kind::Count(_) | Kind::Size(_) | Kind::LongSize(_) | Kind::Time(_) | Kind::Value { .. } => {}
        }
    }

    /// Writes a value to the arguments. Returns `None` when it is not accepted.
    pub(super) fn take(&self, arguments: &mut Arguments, given: OsString) -> Option<()> {
        let limits = &mut arguments.limits;
        match self.kind {
            Kind::Count(field) => *field(limits) = value::whole_number(given.to_str()?)?,
            Kind::Size(field) => *field(limits) = usize::try_from(value::size(given.to_str()?)?).ok()?,
            Kind::LongSize(field) => *field(limits) = value::size(given.to_str()?)?,
            Kind::Time(field) => *field(limits) = value::time(given.to_str()?)?,
            Kind::Value { set, .. } => set(arguments, given)?,
            Kind::Switch(_) | Kind::Flag(_) => return None,
        }
        Some(())
    }
}

impl fmt::Debug for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}

pub(super) fn path(value: OsString) -> Option<PathBuf> {
    (!value.is_empty()).then(|| value.into())
}

pub(super) fn text(value: OsString) -> Option<String> {
    value.into_string().ok().filter(|text| !text.is_empty())
}
