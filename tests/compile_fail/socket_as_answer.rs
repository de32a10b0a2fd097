//! A WebSocket stands in the place of an answer.
//# websocket
use lockgate::{Router, Socket};

fn main() {
    let _ = Router::new().get("/echo", |_: &mut lockgate::Request| { //-
    //+ let _ = Router::new().websocket("/echo", |_| { Ok(
        Socket::on_message(|socket, message| socket.send(message))
    }); //-
    //+ )});
}
//? `SocketBuilder` cannot be sent as a response
//? a `SocketBuilder` is for `Router::websocket`
