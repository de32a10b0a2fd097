//! actix-web with rustls, a worker a core.

use std::thread;

use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{rt, App, HttpResponse, HttpServer};
use peers::Outcome;

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = peers::tls(&arguments)?;
    let listener = peers::listener(arguments.port)?;
    let large = peers::large();
    let app = move || {
        App::new()
            .app_data(PayloadConfig::new(peers::MOST_BODY_BYTES))
            .route("/api/data", web::get().to(|| async { json(peers::DATA) }))
            .route("/large", web::get().to(move || async move { HttpResponse::Ok().body(large) }))
            .route("/len", web::post().to(|body: Bytes| async move { json(peers::length_of(&body)) }))
            .route(
                "/json",
                web::post().to(|body: Bytes| async move {
                    peers::members_of(&body).map_or_else(|| HttpResponse::BadRequest().finish(), json)
                }),
            )
            .route(
                "/block",
                web::get().to(|| async {
                    match web::block(|| thread::sleep(peers::BLOCK)).await {
                        Ok(()) => json(peers::DATA),
                        Err(_) => HttpResponse::InternalServerError().finish(),
                    }
                }),
            )
    };
    rt::System::new().block_on(async move {
        let server =
            HttpServer::new(app).keep_alive(peers::KEEP_ALIVE).listen_rustls_0_23(listener, config)?;
        Ok(server.run().await?)
    })
}

fn json(body: impl actix_web::body::MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}
