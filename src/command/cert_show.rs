//! `lockgate cert show`: what is in a certificate's file, and what is wrong with it.

use std::process::ExitCode;

use lockgate::Identity;
use serde_json::json;

use super::args::Arguments;
use super::commands::{Operands, Spec};
use super::exit::{Code, Failure};
use super::say;

pub(super) const SPEC: Spec = Spec {
    name: "cert show",
    synopsis: "FILE [--key FILE] [--json]",
    summary: "Shows what is in a certificate's file.",
    text: HELP,
    operands: Operands::Some { name: "FILE", what: "a PEM file with a certificate", least: 1, most: 1 },
    exit_codes: &[
        (0, "nothing to object to"),
        (Code::UsageOfReport as u8, "the command line is wrong"),
        (Code::Configuration as u8, "a file cannot be read, or is no certificate"),
    ],
    usage_code: Code::UsageOfReport,
    run,
};

const HELP: &str = "\
Shows the names that a certificate is for, and when it is valid.

  lockgate cert show fullchain.pem --key privkey.pem
";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let [file] = &arguments.operands[..] else {
        return Err(Failure::new(Code::UsageOfReport, "FILE is missing"));
    };
    let identity = Identity::from_pem_files(file, arguments.key.as_ref().unwrap_or(file))?;
    let (names, begins, ends) = (identity.dns_names(), identity.not_before(), identity.not_after());
    if arguments.json {
        say(&json!({"dns_names": names, "not_before": begins, "not_after": ends}).to_string());
    } else {
        say(&format!("{identity:?}"));
    }
    Ok(ExitCode::SUCCESS)
}
