//! What `--help` says. The options come from the table that the parser reads.

use super::args::Command;
use super::exit::MEANINGS;
use super::options::{Opt, GENERAL, LIMITS};

/// Where lines end, if a word allows it.
const WIDTH: usize = 88;

const GENERAL_TEXT: &str = "\
lockgate: an HTTPS server for small appliances.

  lockgate demo [OPTIONS]
      Makes a certificate for localhost and serves with it.
  lockgate serve --cert FILE --key FILE [OPTIONS]
      Serves with a certificate of your own.
  lockgate demo --help, lockgate serve --help
      All options, with their defaults.
  lockgate --version

Both serve GET /api/data over HTTPS, and answer plain HTTP with redirects to it.

Try it:

  lockgate demo --http 8080
  curl --cacert certs/ca.pem https://localhost:8443/api/data

SIGINT (Ctrl-C) and SIGTERM stop it: what has begun is answered, and then it ends. A second one
ends it at once. Certificates that change in their files are taken up by themselves, for new
connections; SIGHUP reads them at once.
";

const SERVE_TEXT: &str = "\
lockgate serve --cert FILE --key FILE [OPTIONS]

Serves GET /api/data over HTTPS with your certificate, and answers plain HTTP with redirects.

  lockgate serve --cert cert.pem --key key.pem --https 8443 --http off
  curl https://NAME:8443/api/data      where NAME is one that the certificate is for

No certificate yet? lockgate demo makes one for localhost; one that every client trusts comes
from an authority such as Let's Encrypt. Renewed files are taken up by themselves.

Ports below 1024 need a permission that users do not have. It can be given to the program:
  sudo setcap cap_net_bind_service=+ep $(command -v lockgate)
";

const DEMO_TEXT: &str = "\
lockgate demo [OPTIONS]

Makes a small authority of its own and a certificate for localhost, unless they are there, and
serves GET /api/data over HTTPS with it. No other program trusts this authority until it is told
to, as curl is here:

  lockgate demo --http 8080
  curl --cacert certs/ca.pem https://localhost:8443/api/data

When plain HTTP cannot have port 80, port 8080 is taken instead.
";

const VALUES: &str = "\
  TIME is 500ms, 60s, 2m, or a plain number of seconds. SIZE is 64KiB, 1MiB, or a plain number
  of bytes. Timers are absolute: they run from the beginning, however the bytes drip in.
";

pub(super) fn general() -> String {
    let mut text = String::from(GENERAL_TEXT);
    exit_codes(&mut text);
    text
}

pub(super) fn of(command: Command) -> String {
    let mut text = String::from(match command {
        Command::Serve => SERVE_TEXT,
        Command::Demo => DEMO_TEXT,
    });
    for (title, options) in [("Options", GENERAL), ("Limits", LIMITS)] {
        text.push_str(&format!("\n{title}:\n"));
        if title == "Limits" {
            text.push_str(VALUES);
        }
        for option in options.iter().filter(|option| option.is_of(command)) {
            describe(option, &mut text);
        }
    }
    exit_codes(&mut text);
    text
}

fn describe(option: &Opt, text: &mut String) {
    text.push_str("  ");
    if let Some(letter) = option.short {
        text.push_str(&format!("-{letter}, "));
    }
    text.push_str(&format!("--{}", option.name));
    if let Some(value) = option.value_name() {
        text.push_str(&format!(" {value}"));
    }
    let mut help = String::from(option.help);
    if let Some(default) = option.default() {
        help.push_str(&format!(" Default: {default}."));
    }
    let mut column = WIDTH;
    for word in help.split(' ') {
        if column + 1 + word.len() > WIDTH {
            text.push_str("\n     ");
            column = 5;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + word.len();
    }
    text.push('\n');
}

fn exit_codes(text: &mut String) {
    text.push_str("\nExit codes:\n");
    for (code, meaning) in MEANINGS {
        text.push_str(&format!("  {code:>2}  {meaning}\n"));
    }
    // Whoever prints it ends the line.
    text.truncate(text.trim_end().len());
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    #[test]
    fn every_option_is_explained_with_its_default_within_a_line() {
        for command in Command::ALL {
            let text = of(command);
            for option in options::all() {
                let name = format!("--{}", option.name);
                let listed = text
                    .lines()
                    .any(|line| line.starts_with("  ") && line.split([' ', ',']).any(|word| word == name));
                assert_eq!(listed, option.is_of(command), "{name} of {}", command.name());
            }
            assert!(text.contains("kept-alive connection. Default: 60s."), "{text}");
            assert!(text.contains("gets 413. Default: 1MiB."), "{text}");
            for line in text.lines().chain(general().lines()) {
                assert!(line.len() <= 100 && line.trim_end() == line, "{line:?}");
            }
        }
    }
}
