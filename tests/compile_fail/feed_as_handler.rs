//! A feed stands in the place of its handler.
use lockgate::{Feed, Router};

fn main() {
    let feed = Feed::new();
    let _ = Router::new().get("/events", feed); //-
    //+ let _ = Router::new().get("/events", feed.handler());
}
//? `Feed` is not a handler
//? `Feed` make one
