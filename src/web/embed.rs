//! The macro that puts files into the program. It is plain Rust: no build script, and no crate that runs while a program is
//! compiled.

/// Puts files into the program, for [`Files::embedded`](crate::web::Files::embedded): a folder, from the one of `Cargo.toml`, and
/// the paths of the files in it. A missing file is an error of the compiler, and a changed one is compiled anew.
///
/// ```
/// use lockgate::web::Files;
/// use lockgate::{Request, Router};
///
/// let files = Files::embedded(lockgate::embed!("src/web": "mod.rs", "files/mod.rs"));
/// let router = Router::new().folder("/source", files.handler());
/// assert_eq!(router.call(&mut Request::get("/source/files/mod.rs")).status(), 200);
/// ```
///
/// For a whole folder, or names that a bundler makes, see [`Files::tar`](crate::web::Files::tar).
#[macro_export]
macro_rules! embed {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$((
            $path,
            ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $path)) as &[u8],
        )),+]
    };
}
