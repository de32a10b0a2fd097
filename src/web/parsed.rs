//! Reads one parameter of a path or a query as a type, and tells the client what it was given and what is expected. Knows requests;
//! handlers call it through [`Request::parse_param`](crate::Request::parse_param) and its siblings.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use ::http::StatusCode;

use super::expected::{expected, shown};
use crate::error::{Error, ParameterFault};
use crate::escape;
use crate::http::problem::Problem;
use crate::http::request::Request;

/// The most characters of what a type's own error says.
const MOST_CHARACTERS: usize = 100;

pub(super) fn param<T: FromStr>(request: &Request<'_>, name: &str) -> Result<T, Error>
where
    T::Err: Display,
{
    let fault = || Error::Parameter { name: name.to_string(), fault: ParameterFault::Unknown };
    parse("path", name, request.param(name).ok_or_else(fault)?)
}

pub(super) fn query<T: FromStr>(request: &Request<'_>, name: &str) -> Result<T, Error>
where
    T::Err: Display,
{
    match only_of_query(request, name)? {
        Some(text) => parse("query", name, &text),
        None => Err(missing(name, expected::<T>())),
    }
}

pub(super) fn optional_query<T: FromStr>(request: &Request<'_>, name: &str) -> Result<Option<T>, Error>
where
    T::Err: Display,
{
    match only_of_query(request, name)? {
        Some(text) if !text.is_empty() => parse("query", name, &text).map(Some),
        _ => Ok(None),
    }
}

fn parse<T: FromStr>(place: &str, name: &str, text: &str) -> Result<T, Error>
where
    T::Err: Display,
{
    text.parse().map_err(|error| wrong(place, name, text, expected::<T>(), &error))
}

fn only_of_query<'r>(request: &'r Request<'_>, name: &str) -> Result<Option<Cow<'r, str>>, Error> {
    let mut values = request.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value);
    let first = values.next();
    match values.next() {
        None => Ok(first),
        // Two programs on its way may take it for either.
        Some(_) => Err(refused(name, format!("the query has the parameter '{name}' twice"))),
    }
}

#[cold]
fn wrong(place: &str, name: &str, text: &str, expected: Option<&str>, error: &dyn Display) -> Error {
    let given = format!("the {place}'s parameter '{name}' is {}", shown(text));
    refused(
        name,
        match expected {
            Some(expected) => format!("{given}; expected {expected}"),
            None => format!("{given}: {}", escape::bounded(&error.to_string(), MOST_CHARACTERS)),
        },
    )
}

#[cold]
fn missing(name: &str, expected: Option<&str>) -> Error {
    let missing = format!("the query has no parameter '{name}'");
    refused(
        name,
        match expected {
            Some(expected) => format!("{missing}; expected {expected}"),
            None => missing,
        },
    )
}

/// 400, which names the parameter.
pub(super) fn refused(name: &str, detail: String) -> Error {
    Problem::new(StatusCode::BAD_REQUEST).detail(detail).member("parameter", name).into()
}
