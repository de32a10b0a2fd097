//! A call of the program's own code: a handler, or the reader of its response. A panic ends this call and nothing else. The
//! caller gets what went wrong in it, and writes it to the log in one line. Knows no request and no response; the server and
//! the router call through it, and responses note their faults here.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::Once;
use std::thread;

use crate::escape;

/// The most faults of one call that are logged. More come from a loop in the handler and say nothing new.
const MOST_FAULTS: usize = 8;
/// The longest text of a fault, in characters before they are escaped.
const MOST_CHARACTERS: usize = 500;

/// What went wrong in a call. In the log the text follows the name of what was called: "the handler of GET /a" `text`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The kind, by which the log counts lines.
    pub what: &'static str,
    /// Escaped, in one line.
    pub text: String,
}

thread_local! {
    /// How many calls are running on this thread, one inside another.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether `FAULTS` or `PLACE` hold anything. This flag is cheaper to read than they are.
    static NOTED: Cell<bool> = const { Cell::new(false) };
    static FAULTS: RefCell<Vec<Fault>> = const { RefCell::new(Vec::new()) };
    /// Where the last panic inside a call began.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `code`. Returns `None` when it panicked. The panic is then the last of the [`faults`], of the kind `panic`, and the
/// caller has to fetch them. A call without a panic costs next to nothing: its value is written to its place directly, and not
/// passed through the results of two closures.
#[inline(always)]
pub(crate) fn run<R>(panic: &'static str, code: impl FnOnce() -> R) -> Option<R> {
    let mut value = None;
    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(|| value = Some(code())));
    DEPTH.set(depth);
    if let Err(payload) = result {
        note_panic(panic, payload);
    }
    value
}

/// Whether something went wrong in this thread's last call. If so, [`faults`] returns what.
#[inline(always)]
pub(crate) fn went_wrong() -> bool {
    NOTED.get()
}

/// Whether a call is running on this thread.
pub(crate) fn is_running() -> bool {
    DEPTH.get() > 0
}

/// Takes what went wrong in this thread's last call.
#[cold]
pub(crate) fn faults() -> Vec<Fault> {
    NOTED.set(false);
    // A remaining place belongs to a panic that the code has caught itself.
    PLACE.take();
    FAULTS.take()
}

#[cold]
fn note_panic(what: &'static str, payload: Box<dyn Any + Send>) {
    let place = PLACE.take().unwrap_or_else(|| "a place that is not known".to_string());
    let text = format!("panicked at {place}: {}", escape::bounded(message(&*payload), MOST_CHARACTERS));
    NOTED.set(true);
    FAULTS.with_borrow_mut(|faults| faults.push(Fault { what, text }));
    drop_payload(payload);
}

/// Notes a fault of the code that is being called. Writes it straight to the log when [`run`] did not call the code, as in a
/// test.
pub(crate) fn note(what: &'static str, text: fmt::Arguments<'_>) {
    let text = escape::bounded(&text.to_string(), MOST_CHARACTERS).to_string();
    if DEPTH.get() == 0 {
        log::error!("a handler {text}");
        return;
    }
    NOTED.set(true);
    FAULTS.with_borrow_mut(|faults| {
        if faults.len() < MOST_FAULTS {
            faults.push(Fault { what, text });
        }
    });
}

/// Installs a panic hook in front of the current one, once in a process. It ignores panics inside calls, because the log
/// reports them, and passes all others on. A program built with `panic = "abort"` does not get this hook, because there nothing
/// else would report the panic.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    // A panicking thread cannot change the hook. The next server sets it.
    if cfg!(panic = "abort") || thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // A second panic in a call, before the first is caught, ends the program: then the hook prints it.
            if DEPTH.get() == 0 || !keep_place(panic.location()) {
                before(panic);
            }
        }));
    });
}

/// Keeps where a panic began. Returns false when another panic is under way.
fn keep_place(place: Option<&Location<'_>>) -> bool {
    NOTED.set(true);
    let place = place.map_or_else(String::new, ToString::to_string);
    PLACE.try_with(|kept| kept.replace(Some(place)).is_none()).unwrap_or(false)
}

/// The payload of a panic, if it is text.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("not with a text")
}

/// Drops the payload of a panic. The payload may itself panic when it is dropped.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<R>(panic: &'static str, code: impl FnOnce() -> R) -> (Option<R>, Vec<Fault>) {
        let value = super::run(panic, code);
        (value, super::faults())
    }

    #[test]
    fn a_panic_is_told_with_its_message_in_one_line() {
        let (nothing, faults) = run("a panic", || panic!("it's a\nb\u{202e}{}", "\x1b"));
        let () = nothing.unwrap_or_default();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].text.ends_with(r": it's a\nb\u{202e}\u{1b}"), "{faults:?}");
        let (nothing, faults) = run("a panic", || panic::panic_any(7));
        let () = nothing.unwrap_or_default();
        assert!(faults[0].text.ends_with(": not with a text"), "{faults:?}");
        let (_, faults) = run("a panic", || -> () { panic!("{}", "x".repeat(10_000)) });
        assert!(faults[0].text.len() < 700 && faults[0].text.contains('…'), "{faults:?}");
    }

    #[test]
    fn faults_belong_to_the_call_that_they_are_of() {
        let (value, faults) = run("a panic", || {
            let (inner, inner_faults) = run("a panic", || note("a", format_args!("failed: {}", 1)));
            assert_eq!((inner, inner_faults.len()), (Some(()), 1));
            note("b", format_args!("failed: {}", 2));
            7
        });
        assert_eq!(value, Some(7));
        assert_eq!(faults, [Fault { what: "b", text: "failed: 2".into() }]);
        let (_, faults) = run("a panic", || (0..100).for_each(|n| note("c", format_args!("{n}"))));
        assert_eq!(faults.len(), MOST_FAULTS);
        assert_eq!(run("a panic", || ()).1, []);
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_ends_nothing() {
        struct Trap;
        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let (nothing, faults) = run("a panic", || -> () { panic::panic_any(Trap) });
        assert_eq!((nothing, faults.len()), (None, 1));
    }
}
