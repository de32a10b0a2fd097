//! A manual page for the program, and one for each command. `manual` calls it.

use super::roff::{bold, italic, Page};
use crate::command::exit::{Meaning, SERVING};
use crate::command::help;
use crate::command::option::{Opt, Table};
use crate::command::spec::{Commands, Settings, Spec};

const HEADING: &str = "User Commands";

/// Each page's path and its text.
pub(super) fn all(commands: Commands, date: &str) -> Vec<(String, String)> {
    let mut all = vec![("man/lockgate.1".into(), program(commands, date))];
    let page = |command: &&'static Spec| (format!("man/{}.1", page_of(command)), of(commands, command, date));
    all.extend(commands.all.iter().map(page));
    all
}

/// The page of a command by its name, `lockgate-cert-show`.
fn page_of(command: &Spec) -> String {
    format!("lockgate-{}", command.name.replace(' ', "-"))
}

fn program(commands: Commands, date: &str) -> String {
    let mut page = Page::new("lockgate", 1, date, HEADING);
    page.section("Name");
    page.paragraph("lockgate - HTTPS server for small appliances");
    page.section("Synopsis");
    page.paragraph("lockgate COMMAND [OPTIONS]");
    page.next_line("lockgate --version");
    page.section("Description");
    page.help(help::ABOUT_ALL);
    page.section("Commands");
    for command in commands.all {
        page.item(&format!("{}(1)", bold(&page_of(command))), command.summary);
    }
    page.section("Options");
    page.paragraph(
        "Each command has options of its own, and its page says them. Before a command there may be:",
    );
    page.item(&format!("{}, {}", bold("-h"), bold("--help")), "All commands.");
    page.item(&format!("{}, {}", bold("-V"), bold("--version")), "The version.");
    exit_status(SERVING, &mut page);
    let mut pages: Vec<(String, u8)> = commands.all.iter().map(|command| (page_of(command), 1)).collect();
    pages.push(("lockgate.toml".into(), 5));
    page.see_also(&pages);
    page.finish()
}

fn of(commands: Commands, command: &'static Spec, date: &str) -> String {
    let mut page = Page::new(&page_of(command), 1, date, HEADING);
    page.section("Name");
    page.paragraph(&format!("{} - {}", page_of(command), decapitalized(command.summary)));
    page.section("Synopsis");
    page.paragraph(&command.usage());
    page.section("Description");
    page.help(&command.text.concat());
    page.section("Options");
    for table in command.options {
        options(table, &mut page);
    }
    if let Some(of) = command.of_another() {
        page.paragraph(&format!("It also takes the options of {}(1).", page_of(of)));
    }
    let takes_settings = !matches!(command.settings, Settings::None);
    if takes_settings {
        page.section("Environment");
        page.item(
            &format!("{}{}", bold("LOCKGATE_"), italic("NAME")),
            "The option of that name, in capitals and with _ for -: LOCKGATE_IDLE_TIMEOUT=20s. true and false \
             stand for an option without a value. The command line comes before the environment, and the \
             environment before the file of --config.",
        );
    }
    if takes_settings || command.options().any(|option| option.name == "verbose") {
        if !takes_settings {
            page.section("Environment");
        }
        page.item(&bold("RUST_LOG"), "Which lines are logged: error, warn, info, debug or trace.");
    }
    exit_status(command.exit_codes, &mut page);
    let mut pages = vec![("lockgate".into(), 1)];
    let others = commands.all.iter().filter(|other| other.name != command.name);
    pages.extend(others.map(|other| (page_of(other), 1)));
    pages.push(("lockgate.toml".into(), 5));
    page.see_also(&pages);
    page.finish()
}

fn options(table: &Table, page: &mut Page) {
    page.subsection(table.title);
    if !table.note.is_empty() {
        page.paragraph(table.note);
    }
    for option in table.options() {
        page.item(&named(option), &said(option));
    }
}

fn named(option: &Opt) -> String {
    let mut name = String::new();
    if let Some(letter) = option.short {
        name = format!("{}, ", bold(&format!("-{letter}")));
    }
    name.push_str(&bold(&format!("--{}", option.name)));
    if let Some(value) = option.value_name() {
        name.push_str(&format!(" {}", italic(value)));
    }
    name
}

/// What its help says, with its default.
pub(super) fn said(option: &Opt) -> String {
    match option.default() {
        Some(default) => format!("{} Default: {default}.", option.help),
        None => option.help.into(),
    }
}

fn exit_status(codes: &[Meaning], page: &mut Page) {
    page.section("Exit status");
    for (code, meaning) in codes {
        page.item(&bold(&code.to_string()), meaning);
    }
}

/// A summary as it stands behind a name: without the full stop and the first capital.
fn decapitalized(summary: &str) -> String {
    let mut characters = summary.trim_end_matches('.').chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}
