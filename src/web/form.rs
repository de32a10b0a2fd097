//! Reads forms without files (`application/x-www-form-urlencoded`), and queries, into a type of the program's. Knows requests and
//! serde; handlers call it through [`Request::form`](crate::Request::form) and [`Request::query_as`](crate::Request::query_as).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{btree_map, BTreeMap};

use ::http::StatusCode;
use serde_core::de::value::{Error as ValueError, SeqDeserializer};
use serde_core::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde_core::forward_to_deserialize_any;

use super::expected::{by_name, shown};
use super::form_fault::FormFault;
use super::{media_type, parsed};
use crate::error::Error;
use crate::escape;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::target::query_pairs;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The largest form, in bytes, unless the handler or [`Limits::body_bytes`](crate::Limits::body_bytes) says something else.
pub(super) const MOST_BODY_BYTES: u64 = 1 << 20;
/// The most fields of a form.
const MOST_FIELDS: usize = 1000;
/// The most characters of a field's name, and of what is wrong with it, that a client is told.
const MOST_OF_NAME: usize = 80;
const MOST_CHARACTERS: usize = 300;

pub(super) fn read<T: DeserializeOwned>(request: &mut Request<'_>, most: u64) -> Result<T, Error> {
    let bytes = body(request, most)?;
    let fields = fields(&bytes).ok_or(FormFault::TooMuch { what: "fields", limit: MOST_FIELDS })?;
    deserialize(fields).map_err(Fault::of_form)
}

pub(super) fn read_query<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, Error> {
    let many = || {
        Problem::new(StatusCode::BAD_REQUEST)
            .detail(format!("the query has more than {MOST_FIELDS} parameters"))
    };
    let fields = fields(request.raw_query().unwrap_or_default()).ok_or_else(many)?;
    deserialize(fields).map_err(Fault::of_query)
}

/// The body of a request that says that it is a form, if it has at most so many bytes.
fn body<'r>(request: &'r mut Request<'_>, most: u64) -> Result<Cow<'r, [u8]>, Error> {
    match media_type::of(request) {
        Some(media_type) if media_type.is("application", "x-www-form-urlencoded") => {
            if !media_type.is_utf8 {
                return Err(FormFault::Charset.into());
            }
        }
        _ => return Err(FormFault::MediaType(MEDIA_TYPE).into()),
    }
    request.check_content_coding()?;
    request.rest_of_body(most)
}

type Fields<'f> = BTreeMap<Cow<'f, str>, Values<'f>>;

/// The fields by their names, each with all its values. `None` when there are too many.
fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let mut fields: Fields<'_> = BTreeMap::new();
    for (number, (name, value)) in query_pairs(bytes).enumerate() {
        if number == MOST_FIELDS {
            return None;
        }
        fields.entry(name).or_default().0.push(value);
    }
    Some(fields)
}

/// What is wrong, and with which field.
struct Fault {
    field: Option<String>,
    error: ValueError,
}

impl Fault {
    fn of_form(self) -> Error {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY);
        let text = bounded(&self.error);
        match self.field {
            Some(field) => problem
                .detail(format!(
                    "the form is not what is expected here: '{}' {text}",
                    escape::bounded(&field, MOST_OF_NAME)
                ))
                .error(format!("/{}", name_in_pointer(&field)), text)
                .into(),
            None => problem.detail(format!("the form is not what is expected here: {text}")).into(),
        }
    }

    fn of_query(self) -> Error {
        let text = bounded(&self.error);
        match self.field {
            Some(field) => {
                let name = escape::bounded(&field, MOST_OF_NAME).to_string();
                parsed::refused(&name, format!("the query's parameter '{name}' {text}"))
            }
            None => Problem::new(StatusCode::BAD_REQUEST)
                .detail(format!("the query is not what is expected here: {text}"))
                .into(),
        }
    }
}

fn bounded(error: &ValueError) -> String {
    escape::bounded(&error.to_string(), MOST_CHARACTERS).to_string()
}

fn name_in_pointer(field: &str) -> String {
    let end = field.char_indices().nth(MOST_OF_NAME).map_or(field.len(), |(at, _)| at);
    field[..end].replace('~', "~0").replace('/', "~1")
}

fn deserialize<T: DeserializeOwned>(fields: Fields<'_>) -> Result<T, Fault> {
    let at = RefCell::new(None);
    let form = Form { fields: fields.into_iter(), value: None, at: &at };
    T::deserialize(form).map_err(|error| Fault { error, field: at.take() })
}

/// A whole form, as serde sees it. While a field is read, its name stands in `at`.
struct Form<'f, 'a> {
    fields: btree_map::IntoIter<Cow<'f, str>, Values<'f>>,
    value: Option<Values<'f>>,
    at: &'a RefCell<Option<String>>,
}

impl<'de> MapAccess<'de> for Form<'_, '_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some(value);
        self.at.replace(Some(name.to_string()));
        seed.deserialize(Value(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let value = seed.deserialize(self.value.take().unwrap_or_default())?;
        self.at.replace(None);
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Form<'_, '_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

/// The values of one field: one, unless the form has the field several times.
#[derive(Default)]
struct Values<'v>(Vec<Cow<'v, str>>);

/// One value.
struct Value<'v>(Cow<'v, str>);

impl<'v> Values<'v> {
    fn only(mut self) -> Result<Value<'v>, ValueError> {
        match (self.0.pop(), self.0.is_empty()) {
            (Some(value), true) => Ok(Value(value)),
            _ => Err(ValueError::custom("is there twice")),
        }
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for Values<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! of_the_only_value {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.only()?.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Values<'_> {
    type Error = ValueError;

    of_the_only_value! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_map deserialize_identifier
    }

    /// An empty field is `None`, because browsers send a field that nobody has filled in.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &*self.0 {
            [value] if value.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(Value)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.only()?.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.only()?.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }
}

#[cold]
fn unreadable(text: &str, kind: &str) -> ValueError {
    ValueError::custom(format_args!("is {}; expected {}", shown(text), by_name(kind).unwrap_or(kind)))
}

macro_rules! read_from_text {
    ($($method:ident $visit:ident $kind:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.0.parse::<$kind>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(unreadable(&self.0, stringify!($kind))),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = ValueError;

    read_from_text! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    /// `on` is what browsers send for a box that is ticked.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &*self.0 {
            "true" | "on" | "1" => visitor.visit_bool(true),
            "false" | "off" | "0" => visitor.visit_bool(false),
            text => Err(unreadable(text, "bool")),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_string(self.0.into_owned())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.is_empty() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn form<T: DeserializeOwned>(body: &str) -> Result<T, (u16, String)> {
        let request = Request::post("/")
            .with_header("content-type", "Application/X-WWW-Form-URLencoded; charset=utf-8");
        request.with_body(body).form().map_err(|error| match error {
            Error::Answer { status, source } => (status.as_u16(), source.to_string()),
            other => (0, other.to_string()),
        })
    }

    #[test]
    fn fields_become_what_the_type_asks_for() {
        let numbers: BTreeMap<String, u16> = form("a=1&b=65535").unwrap();
        assert_eq!(numbers, BTreeMap::from([("a".into(), 1), ("b".into(), 65_535)]));
        let texts: BTreeMap<String, String> = form("a=x+y%26z&b=&%c3%a4=%C3%A4").unwrap();
        let expected = [("a", "x y&z"), ("b", ""), ("ä", "ä")];
        assert_eq!(texts, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
        let lists: BTreeMap<String, Vec<i8>> = form("a=1&b=2&a=-3").unwrap();
        assert_eq!(lists, BTreeMap::from([("a".into(), vec![1, -3]), ("b".into(), vec![2])]));
        let options: BTreeMap<String, Option<f64>> = form("a=&b=1.5").unwrap();
        assert_eq!(options, BTreeMap::from([("a".into(), None), ("b".into(), Some(1.5))]));
        let boxes: BTreeMap<String, bool> = form("a=on&b=false").unwrap();
        assert_eq!(boxes, BTreeMap::from([("a".into(), true), ("b".into(), false)]));
        let any: BTreeMap<String, serde_json::Value> = form("a=1").unwrap();
        assert_eq!(any["a"], "1");
        let kinds: BTreeMap<String, std::net::IpAddr> = form("a=192.0.2.1").unwrap();
        assert_eq!(kinds["a"].to_string(), "192.0.2.1");
        let empty: BTreeMap<String, String> = form("").unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn what_is_not_expected_is_422_and_says_why() {
        for (body, word) in [
            ("a=x", "'a' is 'x'"),
            ("a=256", "to 255"),
            ("a=-1", "from 0"),
            ("a=", "''"),
            ("a=1&a=2", "twice"),
        ] {
            let (status, text) = form::<BTreeMap<String, u8>>(body).unwrap_err();
            assert!(status == 422 && text.contains(word), "{body}: {text}");
        }
        assert_eq!(form::<BTreeMap<String, bool>>("a=yes").unwrap_err().0, 422);
        assert_eq!(form::<BTreeMap<String, BTreeMap<String, u8>>>("a=1").unwrap_err().0, 422);
        assert_eq!(form::<Vec<u8>>("a=1").unwrap_err().0, 422);
    }

    #[test]
    fn a_form_is_bounded_and_comes_as_one() {
        let many = |count: usize| "a=1&".repeat(count);
        assert!(form::<BTreeMap<String, Vec<u8>>>(&many(1000)).is_ok());
        assert_eq!(form::<BTreeMap<String, Vec<u8>>>(&many(1001)).unwrap_err().0, 413);
        let status = |request: Request<'static>| {
            let error = { request }.form::<BTreeMap<String, String>>().unwrap_err();
            crate::IntoResponse::into_response(error).status().as_u16()
        };
        let typed = || Request::post("/").with_header("content-type", MEDIA_TYPE);
        assert_eq!(status(typed().with_body(vec![b'a'; (1 << 20) + 1])), 413);
        assert_eq!(status(typed().with_header("content-encoding", "gzip").with_body("a=1")), 415);
        // A body without a type could come from another site's page without its browser asking first.
        assert_eq!(status(Request::post("/").with_body("a=1")), 415);
        for other in ["text/plain", "application/json", "multipart/form-data; boundary=b"] {
            assert_eq!(
                status(Request::post("/").with_header("content-type", other).with_body("a=1")),
                415,
                "{other}"
            );
        }
    }
}
