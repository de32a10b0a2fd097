//! `lockgate check --config FILE`, or `--cert FILE --key FILE`: says what would be wrong if it were served. `connection`
//! calls it.

use std::process::ExitCode;

use lockgate::check::{Preflight, Verdict};
use lockgate::internal::regular_file::{self, Links};
use lockgate::Device;

use super::report;
use crate::command::arguments::Arguments;
#[cfg(feature = "acme")]
use crate::command::authority;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::serve;
use crate::command::serving;
use crate::command::terminal::{say_json, say_painted, Paint};

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let report = of(arguments)?.run();
    if arguments.json {
        say_json(&format!("{:#}", report.to_json()));
    } else {
        say_painted(&report::text(&report, Paint::for_stdout()));
    }
    Ok(match report.verdict() {
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Warnings => ExitCode::from(1),
        // Errors, and what may come to be worse.
        _ => ExitCode::from(2),
    })
}

/// What `serve` would be given.
fn of(arguments: &Arguments) -> Result<Preflight, Failure> {
    if let Some(message) = &arguments.settings_fault {
        let file = arguments.config.as_ref();
        return match file.map(|file| regular_file::open(file, Links::Followed)) {
            Some(Err(_)) => Err(Failure::new(Code::NotChecked, message)),
            _ => Ok(Preflight::new().setting_fault(message)),
        };
    }
    let mut preflight = Preflight::new().https(arguments.https.to_string()).limits(arguments.limits.clone());
    if let Some(http) = arguments.http {
        preflight = preflight.redirect_http(http.to_string());
    }
    if let Some(clients) = serving::client_auth(arguments) {
        preflight = preflight.client_auth(clients);
    }
    #[cfg(feature = "operations")]
    if let Some(file) = &arguments.ticket_keys {
        preflight = preflight.ticket_keys(file);
    }
    #[cfg(feature = "operations")]
    {
        preflight = preflight
            .proxy_protocol_from(arguments.proxy_from.iter().copied())
            .trust_forwarded(arguments.trust_forwarded.iter().copied());
        if let Some(address) = &arguments.watched.admin {
            preflight = preflight.admin(address);
        }
        if arguments.watched.anywhere {
            preflight = preflight.admin_anywhere();
        }
    }
    let together = serve::check(arguments)
        .and_then(|()| serving::check_together(arguments))
        .and_then(|()| serving::answers(arguments));
    let answers = match together {
        Ok(answers) => answers,
        // On the command line alone it is a mistake in typing; in a file it is what the check was asked about.
        Err(failure) => {
            return match arguments.config {
                None => Err(Failure::new(Code::UsageOfReport, failure.message)),
                Some(_) => Ok(pairs(arguments, preflight).setting_fault(failure.message)),
            }
        }
    };
    #[cfg(feature = "proxy")]
    for proxy in answers.proxies {
        preflight = preflight.proxy(proxy);
    }
    #[cfg(not(feature = "proxy"))]
    let _ = answers;
    #[cfg(feature = "acme")]
    if arguments.acme.directory.is_some() {
        return Ok(match authority::of(arguments) {
            Ok(acme) => preflight.acme(acme),
            Err(failure) => preflight.setting_fault(failure.message),
        });
    }
    if let Some(state) = arguments.state.as_ref().filter(|_| arguments.device) {
        let device = arguments.names.iter().fold(Device::new(state), |device, name| device.name(name));
        return Ok(preflight.device(device));
    }
    Ok(pairs(arguments, preflight))
}

fn pairs(arguments: &Arguments, preflight: Preflight) -> Preflight {
    arguments
        .certs
        .iter()
        .zip(&arguments.keys)
        .fold(preflight, |preflight, (cert, key)| preflight.pem_files(cert, key))
}
