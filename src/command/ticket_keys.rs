//! `lockgate ticket-keys new` and `rotate`: make the file of the keys of session tickets that several servers share, and exchange
//! the keys in it.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use lockgate::internal::{escape, shell_word};
use lockgate::{Error, TicketKeys};
use zeroize::Zeroizing;

use super::arguments::Arguments;
use super::exit::{self, Code};
use super::failure::Failure;
use super::logger::tell;
use super::option::Table;
use super::options;
use super::placing;
use super::spec::{Operands, Settings, Spec};
use super::terminal::say;

pub(super) static NEW: Spec = Spec {
    name: "ticket-keys new",
    synopsis: "FILE",
    summary: "Makes a file of keys, by which several servers resume each other's sessions.",
    text: &[HELP_ON_NEW, HELP],
    operands: FILE,
    options: OPTIONS,
    settings: Settings::None,
    exit_codes: exit::WRITING,
    usage_code: Code::Usage,
    run: make,
};

pub(super) static ROTATE: Spec = Spec {
    name: "ticket-keys rotate",
    synopsis: "FILE",
    summary: "Exchanges the keys in such a file.",
    text: &[HELP_ON_ROTATE, HELP],
    operands: FILE,
    options: OPTIONS,
    settings: Settings::None,
    exit_codes: exit::WRITING,
    usage_code: Code::Usage,
    run: rotate,
};

const FILE: Operands = Operands::Some { name: "FILE", what: "a file of keys", least: 1, most: 1 };
static OPTIONS: &[Table] = &[Table { title: "Options", note: "", options: &[options::COMMON] }];

const HELP_ON_NEW: &str = "\
Makes three random keys, in a new file with mode 0600. A file that is there is left as it is.
";

const HELP_ON_ROTATE: &str = "\
Makes the next key the current one, the current key the last one, and a new next key. The file is
replaced in one step, and keeps its owner.
";

const HELP: &str = "
  lockgate ticket-keys new /etc/lockgate/ticket-keys
  scp -p /etc/lockgate/ticket-keys other.example:/etc/lockgate/
  lockgate serve --ticket-keys /etc/lockgate/ticket-keys --cert cert.pem --key key.pem

Every server has the same file, and takes a changed one by itself. All three keys decrypt, and the
current one encrypts: so servers with the file before and after an exchange read each other's
tickets, and the order in which they get it does not matter. Exchange the keys daily, on one
machine, and only once every server has the file of the exchange before.

Whoever has the file can read resumed sessions of TLS 1.2, and can pose as a client with a
certificate. If it was seen, or the private key of a certificate was: move it away, and make a new
one.
";

fn make(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let file = file(arguments)?;
    let keys = TicketKeys::generate()?;
    let _alone = placing::lock_folder_of(file).map_err(|error| not_written(file, &error))?;
    remove_old_drafts(file, &keys);
    placing::put_new(file, &Zeroizing::new(keys.to_file_text()), 0o600).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let name = shell_word(file);
            let next = match TicketKeys::read(file) {
                _ if file.is_dir() => "it is a directory; give the path of a file in it".to_string(),
                Ok(_) => format!(
                    "to exchange its keys: lockgate ticket-keys rotate {name}; for keys that have nothing to do with the old \
                     ones, move it away first: mv {name} {name}.old"
                ),
                Err(_) => format!("it is no file of keys that can be used; move it away first: mv {name} {name}.bad"),
            };
            let what = format!("{}: is there already, and is left as it is; {next}", file.display());
            Failure::new(Code::Configuration, what)
        }
        _ => not_written(file, &error),
    })?;
    done(file, &keys, "every server gets this file, and is started with --ticket-keys");
    Ok(ExitCode::SUCCESS)
}

fn rotate(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let file = file(arguments)?;
    // From the reading on: of two exchanges at once one would be lost.
    let _alone = placing::lock_folder_of(file).map_err(|error| not_written(file, &error))?;
    let old = TicketKeys::read(file).map_err(|error| match error {
        // There is no option here to be named.
        Error::Setting { fault, .. } => Failure::new(Code::Configuration, fault),
        other => other.into(),
    })?;
    let keys = old.rotated()?;
    remove_old_drafts(file, &keys);
    placing::replace_secret(file, &Zeroizing::new(keys.to_file_text()))
        .map_err(|error| not_written(file, &error))?;
    done(file, &keys, "every server gets this file, in any order, before the next exchange");
    let age = old.rotated_at().and_then(|at| SystemTime::now().duration_since(at).ok());
    if age.is_some_and(|age| age < TicketKeys::TICKET_LIFETIME) {
        let hours = TicketKeys::TICKET_LIFETIME.as_secs() / 3600;
        tell(&format!(
            "lockgate: the last exchange was less than {hours} hours ago, the lifetime of a ticket; clients with older tickets \
             make a full handshake"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Each begins with the line that says what the file is.
fn remove_old_drafts(file: &Path, keys: &TicketKeys) {
    let text = Zeroizing::new(keys.to_file_text());
    placing::remove_old_drafts(file, text.split_inclusive('\n').next().unwrap_or_default().as_bytes());
}

fn file(arguments: &Arguments) -> Result<&Path, Failure> {
    let file = arguments.operands.first().map(|file| &**file);
    file.ok_or_else(|| Failure::usage("FILE is missing: the file of the keys"))
}

fn done(file: &Path, keys: &TicketKeys, next: &str) {
    say(&format!("{}: the current key is {}\nNext: {next}", escape::path(file), keys.id()));
}

fn not_written(file: &Path, error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "only its owner or root can replace it, and keep its owner".to_string()
        }
        _ => error.to_string(),
    };
    Failure::new(Code::Runtime, format!("{}: cannot be written: {what}", file.display()))
}
