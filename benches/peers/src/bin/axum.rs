//! axum under axum-server with rustls.

use std::sync::Arc;
use std::thread;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use peers::Outcome;
use tokio::runtime;

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = RustlsConfig::from_config(Arc::new(peers::tls(&arguments)?));
    let listener = peers::listener(arguments.port)?;
    listener.set_nonblocking(true)?;
    let large = peers::large();
    let router =
        Router::new()
            .route("/api/data", get(|| async { json(peers::DATA) }))
            .route("/large", get(move || async move { large }))
            .route("/len", post(|body: Bytes| async move { json(peers::length_of(&body)) }))
            .route(
                "/json",
                post(|body: Bytes| async move {
                    peers::members_of(&body).map(json).ok_or(StatusCode::BAD_REQUEST)
                }),
            )
            .route(
                "/block",
                get(|| async {
                    let slept = tokio::task::spawn_blocking(|| thread::sleep(peers::BLOCK)).await;
                    slept.map(|()| json(peers::DATA)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
                }),
            )
            .layer(DefaultBodyLimit::max(peers::MOST_BODY_BYTES));
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let mut server = axum_server::from_tcp_rustls(listener, config)?;
        server.http_builder().http1().pipeline_flush(true);
        Ok(server.serve(router.into_make_service()).await?)
    })
}

fn json(body: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, peers::JSON)], body)
}
