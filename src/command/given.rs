//! A setting as it was given: an option, its value and its place. Knows options, and values of TOML. The parser takes settings of the
//! command line by it, `config` those of a file, and `route_table` those of a `[[route]]`, so that all say the same of a wrong value.

use std::ffi::OsString;
use std::path::Path;

use toml::de::DeValue;

use super::arguments::Arguments;
use super::failure::Failure;
use super::option::{Kind, Opt, Repeats};
use super::place::Place;
#[cfg(feature = "proxy")]
use super::route;

/// The value of an option that takes none, where a file or the environment says `false`. It goes before what a weaker place says.
pub(super) const OFF: &str = "false";

/// An option with its value, and where it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub option: &'static Opt,
    /// `None` turns an option on that takes no value, and [`OFF`] leaves it off.
    pub value: Option<OsString>,
    pub place: Place,
}

impl Given {
    /// The values of a key of a file.
    pub(super) fn all_of(
        option: &'static Opt,
        value: &DeValue<'_>,
        place: &Place,
    ) -> Result<Vec<Given>, Failure> {
        match value {
            DeValue::Array(array) if option.repeats == Repeats::All => {
                array.iter().map(|value| Given::of(option, value.get_ref(), place)).collect()
            }
            value => Ok(vec![Given::of(option, value, place)?]),
        }
    }

    /// One value in the form of the command line. Paths in it are relative to the file's folder.
    fn of(option: &'static Opt, value: &DeValue<'_>, place: &Place) -> Result<Given, Failure> {
        let value = match (value, option.value_name()) {
            (DeValue::Boolean(on), None) => return Ok(Given::switched(option, *on, place.clone())),
            // As for an option without a value.
            (DeValue::Boolean(on), Some("on|off")) => if *on { "on" } else { "off" }.to_string(),
            // No option takes an empty one, which would be the file's own folder as a path.
            (DeValue::String(text), Some(_)) if !text.is_empty() => text.to_string(),
            // The fault of a target says which one a port is meant for.
            (DeValue::Integer(number), Some(_))
                if number.radix() == 10 && (option.takes_numbers() || option.name == "to") =>
            {
                number.as_str().to_string()
            }
            _ => {
                let (accepted, quotes) = match option.value_name() {
                    Some(_) => (option.accepted(), ", in quotes"),
                    None => ("true or false", ""),
                };
                let several = match option.repeats {
                    Repeats::All => ", or an array of them",
                    Repeats::Last => "",
                };
                return Err(Failure::at(
                    place,
                    format_args!(" has a value that is not accepted here; give {accepted}{quotes}{several}"),
                ));
            }
        };
        let is_path = matches!(option.kind, Kind::Value { name: "FILE" | "DIR", .. });
        let value = match place {
            Place::File { path, .. } if is_path && !value.is_empty() => {
                path.parent().unwrap_or(Path::new("")).join(value).into()
            }
            #[cfg(feature = "proxy")]
            Place::File { path, .. } if option.name == "answer" => {
                let folder = path.parent().unwrap_or(Path::new(""));
                let joined = |(at, file): (&str, &str)| format!("{at}={}", folder.join(file).display());
                value.split_once('=').map_or(value.clone(), joined).into()
            }
            _ => value.into(),
        };
        Ok(Given { option, value: Some(value), place: place.clone() })
    }

    /// An option that takes no value.
    pub(super) fn switched(option: &'static Opt, on: bool, place: Place) -> Given {
        Given { option, value: (!on).then(|| OFF.into()), place }
    }

    /// Writes it to the arguments. The failure for a value that is not accepted names its place.
    pub(super) fn take(self, arguments: &mut Arguments) -> Result<(), Failure> {
        let Given { option, value, place } = self;
        let Some(value) = value else {
            option.turn_on(arguments);
            return Ok(());
        };
        if option.value_name().is_none() {
            return Ok(());
        }
        let shown = value.to_string_lossy().into_owned();
        option.take(arguments, value).ok_or_else(|| {
            let fault = refused(option, &shown);
            Failure::at(&place, format_args!(": {fault}"))
        })?;
        #[cfg(feature = "proxy")]
        match (option.name, arguments.routes.last_mut()) {
            ("route", Some(route)) => route.place = place,
            ("to" | "files" | "answer", _) => arguments.places.push((option.name, place)),
            _ => {}
        }
        Ok(())
    }
}

/// What is wrong with a value, and what would be right.
fn refused(option: &Opt, shown: &str) -> String {
    #[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
    let masked = lockgate::internal::without_userinfo(shown);
    #[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
    if masked != shown && matches!(option.name, "acme" | "route" | "to") {
        let more =
            if option.name == "acme" { "" } else { ": a server gets the Authorization that a client sends" };
        return format!(
            "{masked:?} holds a user name or a password, which do not belong in a URL; leave them out{more}"
        );
    }
    #[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
    let shown = &*masked;
    #[cfg(feature = "proxy")]
    match option.name {
        "to" => return route::target_fault(shown),
        "route" => {
            if let Some(fault) = route::route_fault(shown) {
                return fault;
            }
        }
        _ => {}
    }
    #[cfg(feature = "operations")]
    if matches!(option.name, "proxy-from" | "trust-forwarded") {
        if let Err(fault) = shown.parse::<lockgate::Cidr>() {
            return format!("{shown:?} is not accepted here: {fault}; give {}", option.accepted());
        }
    }
    format!("{shown:?} is not accepted here; give {}", option.accepted())
}
