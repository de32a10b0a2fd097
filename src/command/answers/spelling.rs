//! A layer that refuses a path which a backend may read as one of another route: in other letters, with parameters, with empty
//! segments. The rules of that route would not hold for it. Knows requests; the router of `serve` has it around all routes.

use lockgate::{IntoResponse, Layer, Next, Problem, Request, Response, StatusCode};

/// The prefixes of all routes, without a slash at their ends: as they are, and in small letters.
pub(super) struct OtherSpellings(Vec<(String, String)>);

impl OtherSpellings {
    pub(super) fn of(prefixes: impl IntoIterator<Item = String>) -> OtherSpellings {
        let both = |prefix: String| {
            let folded = prefix.to_ascii_lowercase();
            (prefix, folded)
        };
        OtherSpellings(prefixes.into_iter().map(both).collect())
    }

    /// The route that this path may lead to in another program, if it is a longer one than the path's own here.
    fn meant(&self, path: &str) -> Option<&str> {
        let read = as_others_may_read(path);
        let is_own = |prefix: &str| self.0.iter().any(|(own, _)| has(path, own) && own.len() >= prefix.len());
        let mut read_as = self.0.iter().filter(|(_, folded)| has(&read, folded)).map(|(prefix, _)| &**prefix);
        read_as.find(|prefix| !is_own(prefix))
    }
}

impl Layer for OtherSpellings {
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        match self.meant(request.path()) {
            None => next.run(request),
            Some(meant) => Problem::new(StatusCode::BAD_REQUEST)
                .detail(format!(
                    "The path is another spelling of one below {meant}; write it as that is written."
                ))
                .into_response(),
        }
    }
}

/// Whether the path is the prefix, or is below it.
fn has(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path as programs may read it that drop parameters (servlets), merge slashes (nginx), know no case (Express, IIS) or drop dots
/// and spaces at the ends of names (Windows).
fn as_others_may_read(path: &str) -> String {
    let mut read = String::with_capacity(path.len());
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default().trim_end_matches(['.', ' ']);
        if !name.is_empty() {
            read.push('/');
            read.push_str(&name.to_ascii_lowercase());
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_others_read_as_one_of_a_longer_route_is_another_spelling_of_it() {
        let spellings = OtherSpellings::of(["/api", "/api/Admin", "/ui"].map(String::from));
        for path in [
            "/api",
            "/api/",
            "/api/x",
            "/apix",
            "/x/api",
            "/api/admins",
            "/api/Admin",
            "/api/Admin/x",
            "/api/Admin//x",
            "/api/x/Admin",
            "/api/a;b",
            "/ui/API",
            "/",
            "/x//y",
            "",
            "*",
        ] {
            assert_eq!(spellings.meant(path), None, "{path}");
        }
        for (path, meant) in [
            ("/API", "/api"),
            ("/Api/x", "/api"),
            ("/api;x", "/api"),
            ("/api;a=b/x", "/api"),
            ("/api.", "/api"),
            ("/api../x", "/api"),
            ("/api /x", "/api"),
            ("/;/api", "/api"),
            ("/.;/api/x", "/api"),
            ("/UI", "/ui"),
            ("/api/admin", "/api/Admin"),
            ("/api//Admin", "/api/Admin"),
            ("/api/;/Admin/x", "/api/Admin"),
            ("/api/ADMIN;x/y", "/api/Admin"),
        ] {
            assert_eq!(spellings.meant(path), Some(meant), "{path}");
        }
    }
}
