//! The manual page of the settings file, lockgate.toml(5). `manual` calls it.

use super::pages::said;
use super::roff::{bold, italic, Page};
use crate::command::option::{Kind, Opt, Repeats};
#[cfg(feature = "proxy")]
use crate::command::route_table;
use crate::command::spec::Spec;

const EXAMPLE: &str = "\
https = \"[::]:443\"
http = \"[::]:80\"
device = true
state = \"/var/lib/lockgate\"
idle-timeout = \"20s\"
connections = 500";

#[cfg(feature = "proxy")]
const EXAMPLE_OF_A_ROUTE: &str = "
[[route]]
path = \"/api\"
to = [\"http://127.0.0.1:3000\", \"http://127.0.0.1:3001\"]
methods = [\"GET\", \"POST\"]
body-bytes = \"16MiB\"";

pub(super) fn page(serve: &'static Spec, date: &str) -> String {
    let mut page = Page::new("lockgate.toml", 5, date, "File Formats");
    page.section("Name");
    page.paragraph("lockgate.toml - settings of lockgate serve");
    page.section("Synopsis");
    page.paragraph("lockgate serve --config FILE");
    page.next_line("lockgate check --config FILE");
    page.section("Description");
    page.paragraph(
        "The file is TOML. Each option of lockgate serve is a key in it, by its name without the dashes. Options on \
         the command line come before the environment, and the environment before the file. A key that is not \
         known is an error, and so is a key given twice.",
    );
    page.paragraph(
        "Values stand in quotes. A number alone needs none: seconds for a time, bytes for a size, a count or a port. \
         Paths are relative to the folder of the file. An option that may be given several times takes an array \
         of values.",
    );
    page.paragraph("lockgate check --config FILE says what is wrong with the file, and serves nothing.");
    page.section("Example");
    let lines = EXAMPLE.lines();
    #[cfg(feature = "proxy")]
    let lines = lines.chain(EXAMPLE_OF_A_ROUTE.lines());
    page.example(&lines.collect::<Vec<_>>());
    page.section("Settings");
    for table in serve.options {
        page.subsection(table.title);
        if !table.note.is_empty() {
            page.paragraph(table.note);
        }
        for option in table.options().filter(|option| option.is_a_setting()) {
            page.item(&format!("{} = {}", bold(option.name), form(option)), &said(option));
        }
    }
    #[cfg(feature = "proxy")]
    routes(&mut page);
    page.see_also(&[("lockgate-serve".into(), 1), ("lockgate-check".into(), 1)]);
    page.finish()
}

/// The form of its value.
fn form(option: &Opt) -> String {
    let one = match option.kind {
        Kind::Switch(_) | Kind::Flag(_) => return "true|false".into(),
        Kind::Count(_) => "N".into(),
        _ => format!("\"{}\"", option.value_name().unwrap_or_default()),
    };
    match option.repeats {
        Repeats::All => format!("{}, or [{}, ...]", italic(&one), italic(&one)),
        Repeats::Last => italic(&one),
    }
}

#[cfg(feature = "proxy")]
fn routes(page: &mut Page) {
    page.section("Routes");
    page.paragraph(
        "Each [[route]] table says who answers a path and all paths below it. It has path and one of to, files and \
         answer. What has the name of a setting above is said for these paths alone.",
    );
    for key in route_table::KEYS {
        let said: String = match key {
            "path" => "The path, such as /api. The longest path wins, by whole segments.".into(),
            "answer" => "A JSON file that answers GET at the path.".into(),
            "files" => "The folder whose files answer.".into(),
            "to" => "The servers that requests are passed on to.".into(),
            "methods" => {
                "An array of the methods that are answered; others get 405. HEAD goes with GET.".into()
            }
            "headers" => {
                "A table of fields that are added to each answer: { Cache-Control = \"no-store\" }.".into()
            }
            "concurrent" => "Requests that may be answered at a time; one more gets 503.".into(),
            _ => format!("As the setting {key}."),
        };
        page.item(&bold(key), &said);
    }
}
