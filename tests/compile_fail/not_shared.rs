//! The handler captures what only one thread may use.
use std::cell::Cell; //-
use std::rc::Rc; //-
//+ use std::sync::atomic::{AtomicU64, Ordering};
//+ use std::sync::Arc;

use lockgate::{Request, Router};

fn main() {
    let count = Rc::new(Cell::new(0)); //-
    //+ let count = Arc::new(AtomicU64::new(0));
    let _ = Router::new().get("/count", move |_: &mut Request| {
        count.set(count.get() + 1); //-
        count.get().to_string() //-
        //+ count.fetch_add(1, Ordering::Relaxed).to_string()
    });
}
//? cannot be sent between threads safely
