//! What SIGHUP does beside certificates: reads the settings again, and replaces the limits that can change while the server runs. The
//! log says what has changed, and what waits for a restart. `signals` calls it.

use lockgate::{Handle, Limits};

use super::arguments::{Again, Arguments};
use super::failure::Failure;
use super::given::OFF;
use super::option::{Kind, Opt};
use super::options::limits::LIMITS;

/// How to read the settings again, and what they were at the start.
pub(super) struct Reread {
    again: Option<Again>,
    /// Those that are no limits.
    others: Vec<(String, Vec<String>)>,
}

impl Reread {
    pub(super) fn of(arguments: &Arguments) -> Reread {
        Reread { again: arguments.again, others: others(arguments) }
    }

    /// Reads the settings again. When one of them is wrong, all stay as they are, and `false` is returned.
    pub(super) fn read(&self, handle: &Handle) -> bool {
        let Some(again) = self.again else { return true };
        let before = handle.limits();
        let read = again().and_then(|arguments| {
            let replaced = handle.replace_limits(arguments.limits.clone());
            Ok((replaced.map_err(|error| Failure::from(error).message)?, arguments))
        });
        let (stay, arguments) = match read {
            Ok(read) => read,
            Err(fault) => {
                log::error!("the settings are not read again, and all stay as they are: {fault}");
                return false;
            }
        };
        let changed = changes(&before, &handle.limits(), &|_| true);
        if !changed.is_empty() {
            log::info!("limits are read again: {}", changed.join(", "));
        }
        let mut later = changes(&before, &arguments.limits, &|name| stay.contains(&&*name.replace('-', "_")));
        let now = others(&arguments);
        let differs = |all: &[(String, Vec<String>)], one: &(String, Vec<String>)| !all.contains(one);
        let names = now.iter().filter(|one| differs(&self.others, one));
        let gone = self.others.iter().filter(|one| differs(&now, one));
        for (name, _) in names.chain(gone) {
            if !later.contains(name) {
                later.push(name.clone());
            }
        }
        if !later.is_empty() {
            log::warn!("these settings have changed, and hold after a restart only: {}", later.join(", "));
        }
        true
    }
}

/// The limits of these names that differ, each as `idle-timeout 60s to 20s`.
fn changes(before: &Limits, now: &Limits, is_asked_for: &dyn Fn(&str) -> bool) -> Vec<String> {
    let (mut before, mut now) = (before.clone(), now.clone());
    let mut all = Vec::new();
    for option in LIMITS.iter().filter(|option| is_asked_for(option.name)) {
        let (was, is) = (shown(option, &mut before), shown(option, &mut now));
        if was != is {
            all.push(format!("{} {was} to {is}", option.name));
        }
    }
    all
}

fn shown(option: &Opt, limits: &mut Limits) -> String {
    match option.kind {
        Kind::Switch(field) => field(limits).to_string(),
        _ => option.shown_in(limits).unwrap_or_default(),
    }
}

/// All settings that are no limits, each with its values.
fn others(arguments: &Arguments) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value, _) in &arguments.shown {
        // A switch that is said to be off is as one of which nothing is said.
        let is_off = value.as_ref().is_some_and(|value| value == OFF);
        if is_off || LIMITS.iter().any(|option| option.name == *name) {
            continue;
        }
        let value = value.as_ref().map_or_else(String::new, |value| value.to_string_lossy().into_owned());
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => all.push(((*name).to_string(), vec![value])),
        }
    }
    #[cfg(feature = "proxy")]
    for route in &arguments.routes {
        let said = route.said.iter().map(|(name, value, _)| format!("{name}={value}"));
        all.push((format!("route {}", route.path), said.collect()));
    }
    all
}
