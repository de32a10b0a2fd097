//! The manual pages and the completions of three shells, made from the same descriptions of commands and options that the
//! parser reads: `lockgate manual DIR`. The feature `manual` brings it, for whoever makes a package. The command that is shipped
//! is without it, so it pays nothing for this.
//!
//! Knows `spec` and `option`, and no command by name. `main` calls it, before the parser.

mod bash;
mod fish;
mod pages;
mod roff;
mod settings;
#[cfg(test)]
mod tests;
mod words;
mod zsh;

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{env, fs, io};

use super::exit::Code;
use super::failure::Failure;
use super::spec::Commands;

/// Writes all files below the folder that the command line names.
pub(super) fn run(commands: Commands, folder: Option<&OsString>) -> Result<(), Failure> {
    let folder = folder.ok_or_else(|| {
        Failure::usage("DIR is missing: give the folder for the files, as in lockgate manual DIR")
    })?;
    let folder = Path::new(folder);
    write(commands, folder, &today()?)
        .map_err(|error| Failure::new(Code::Runtime, format!("{}: {error}", folder.display())))
}

fn write(commands: Commands, folder: &Path, date: &str) -> io::Result<()> {
    for (path, text) in all(commands, date) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// Each file's path below the folder, by whose last part its reader finds it, and its text.
fn all(commands: Commands, date: &str) -> Vec<(String, String)> {
    let mut all = pages::all(commands, date);
    let serve = commands.named("serve").into_iter();
    all.extend(serve.map(|serve| ("man/lockgate.toml.5".into(), settings::page(serve, date))));
    for (path, text) in [
        ("bash/lockgate", bash::script(commands)),
        ("zsh/_lockgate", zsh::script(commands)),
        ("fish/lockgate.fish", fish::script(commands)),
    ] {
        all.push((path.into(), text));
    }
    all
}

/// The date in the pages, `2026-11-30`: that of `SOURCE_DATE_EPOCH`, so that a build can be repeated, else today.
fn today() -> Result<String, Failure> {
    let time = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => {
            let fault = || {
                Failure::usage("SOURCE_DATE_EPOCH is not a time; give whole seconds since 1970, or unset it")
            };
            // Four digits for the year, which is all that fits the pages.
            let seconds =
                seconds.parse().ok().filter(|&seconds| seconds < 253_402_300_800).ok_or_else(fault)?;
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        }
        Err(_) => SystemTime::now(),
    };
    let mut date = lockgate::iso8601(time);
    date.truncate("2026-11-30".len());
    Ok(date)
}
